"""The contract: its generated code is fresh, every part of it is described, and nothing that was
released is broken.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
GENERATED = ROOT / "server" / "generated"


def made(target: str) -> str:
    """The commands that make would run for a target."""
    return subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "--assume-old=.venv/ready", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def generate(into: Path) -> None:
    """Run the Makefile's own command for `make protos`, but into another folder."""
    commands = made("protos")
    command = commands[commands.index("-m grpc_tools.protoc") :].replace("\\\n", " ")
    command = command.replace("server/generated", str(into)).replace(".venv/bin", str(BIN))
    subprocess.run([sys.executable, *command.split()], cwd=ROOT, check=True)


def files(folder: Path) -> dict[str, str]:
    """The text of every generated file, by its place below a folder."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_generated_code_is_what_make_protos_makes_of_the_protos(tmp_path: Path) -> None:
    generate(tmp_path)
    fresh = files(tmp_path)
    assert len(fresh) >= 12
    assert files(GENERATED).keys() == fresh.keys()
    stale = [name for name, text in files(GENERATED).items() if text != fresh[name]]
    assert stale == [], "run make protos"


def test_buf_finds_nothing_to_say_of_the_protos() -> None:
    linted = subprocess.run(
        [BIN / "buf", "lint"], cwd=ROOT / "protos", capture_output=True, text=True, check=False
    )
    assert (linted.returncode, linted.stdout) == (0, "")


def test_buf_is_told_to_ask_for_a_comment_on_everything() -> None:
    lint = yaml.safe_load((ROOT / "protos" / "buf.yaml").read_text())["lint"]
    assert "COMMENTS" in lint["use"]
    assert lint.keys() == {"use"}, "no exceptions"


@pytest.mark.parametrize("path", sorted((ROOT / "protos").rglob("*.proto")), ids=lambda p: p.name)
def test_a_proto_imports_nothing_that_a_client_would_have_to_find(path: Path) -> None:
    imports = re.findall(r'^import "([^"]+)"', path.read_text(), re.MULTILINE)
    assert all(
        name.startswith("google/protobuf/") or (ROOT / "protos" / name).is_file()
        for name in imports
    )


@pytest.fixture
def protos(tmp_path: Path) -> Path:
    """A copy of protos/, to be changed."""
    return Path(shutil.copytree(ROOT / "protos", tmp_path / "protos"))


def run_of(target: str, protos: Path) -> tuple[int, str]:
    """Runs a target's commands of buf, save that for style, on a copy: the exit code, and what was
    printed. A command that fails is the last one, as it is for make.
    """
    commands = [line for line in made(target).splitlines() if re.search(r"/buf (?!lint)", line)]
    assert commands
    script = " && ".join(f"({line})" for line in commands).replace("../.venv/bin", str(BIN))
    ran = subprocess.run(
        ["bash", "-c", script], cwd=protos.parent, capture_output=True, text=True, check=False
    )
    return ran.returncode, ran.stdout + ran.stderr


def change(protos: Path, file: str, old: str, new: str) -> None:
    path = protos / "cio" / "sidecar" / "v1" / f"{file}.proto"
    text = path.read_text()
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new))


def test_nothing_is_broken_since_the_last_release(protos: Path) -> None:
    assert run_of("lint", protos) == (0, "")


USER_ID = "string user_id = 4;"
BREAKS = {
    "a field renumbered": ("event", USER_ID, "string user_id = 7;", 'field "4"'),
    "a field removed": ("event", USER_ID, "", 'field "4" with name "user_id"'),
    "a field reserved": ("event", USER_ID, 'reserved 4; reserved "user_id";', 'name "user_id"'),
    "a field renamed": ("event", USER_ID, "string person = 4;", '"user_id" to "person"'),
    "a type changed": ("event", USER_ID, "bytes user_id = 4;", '"string" to "bytes"'),
    "a list made one": ("ingest", "repeated Event events = 1;", "Event events = 1;", "cardinality"),
    "a field out of its oneof": (
        "event",
        "Alias alias = 15;\n  }",
        "}\n  Alias alias = 15;",
        "outside a oneof",
    ),
    "an enum value removed": ("ingest", "EVENT_STATUS_DUPLICATE = 2;", "", 'value "2"'),
    "an enum value renamed": ("ingest", "STATUS_DUPLICATE =", "STATUS_REPEAT =", "STATUS_REPEAT"),
    "a call removed": (
        "mapping",
        "rpc GetTable(GetTableRequest) returns (GetTableResponse);",
        "",
        "GetTable",
    ),
    "a stream made one message": ("ingest", "Stream(stream ", "Stream(", "streaming"),
    "generated code renamed": ("event", "sidecarv1", "sidecar", "go_package"),
}


@pytest.mark.parametrize(("file", "old", "new", "named"), BREAKS.values(), ids=BREAKS)
def test_what_would_break_callers_is_named(
    protos: Path, file: str, old: str, new: str, named: str
) -> None:
    change(protos, file, old, new)
    code, output = run_of("lint", protos)
    assert code == 100
    assert f"cio/sidecar/v1/{file}.proto:" in output
    assert named in output


def test_what_is_added_breaks_nobody(protos: Path) -> None:
    change(protos, "event", "string user_id = 4;", "string user_id = 4; string more = 7;")
    change(protos, "event", "Alias alias = 15;", "Alias alias = 15; Group more_groups = 16;")
    change(protos, "ingest", "EVENT_STATUS_REFUSED = 3;", "EVENT_STATUS_REFUSED = 3; MORE = 4;")
    change(protos, "ingest", "// One event.", "message More {}\n// One event.")
    assert run_of("lint", protos) == (0, "")


def test_what_a_release_keeps_can_be_added_to_and_not_broken(protos: Path) -> None:
    change(protos, "event", "string user_id = 4;", "string user_id = 4; string more = 7;")
    assert run_of("release-protos", protos) == (0, "")
    released = (protos / "released.txtpb").read_text()
    assert 'name: "more"' in released
    change(protos, "event", " string more = 7;", "")
    code, output = run_of("release-protos", protos)
    assert (code, '"more"' in output) == (100, True)
    assert (protos / "released.txtpb").read_text() == released
