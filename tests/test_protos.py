"""The contract: its generated code is fresh, and every part of it is described."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
GENERATED = ROOT / "server" / "generated"


def generate(into: Path) -> None:
    """Run the Makefile's own command for `make protos`, but into another folder."""
    commands = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "--assume-old=.venv/ready", "protos"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
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
