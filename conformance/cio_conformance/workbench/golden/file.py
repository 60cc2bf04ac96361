"""A fixture file that is rewritten or added to: text in, text out, checked before it is kept."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cio_conformance.cases.golden_cases import Case, FixtureError, Golden, parse_fixtures
from cio_conformance.run.compare import matches
from cio_conformance.run.result import APIS
from cio_conformance.run.verdict import plain
from cio_conformance.workbench.golden.current_output import Present, concrete
from cio_conformance.workbench.golden.flow import INDENT, flow
from cio_conformance.workbench.golden.splice import SpliceError, Splicer, child, compose, write_flow
from cio_conformance.workbench.in_process import NOW, Mappers, run_direct


def read(path: Path) -> str:
    """The text of a file, ends of lines as they are. Raises FixtureError."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise FixtureError(f"{path}: can't be read: {why}") from None


def write(path: Path, text: str, folder: Path) -> None:
    """Write a file of a folder. Raises FixtureError, also where the file lies elsewhere."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise FixtureError(f"{path}: is a link to {path.resolve()}, out of {folder}; left alone")
    try:
        path.write_bytes(text.encode("utf-8"))
    except OSError as error:
        raise FixtureError(f"{path}: can't be written: {error.strerror}") from None


def rewritten(text: str, goldens: Mapping[int, Golden], found: Mapping[int, Present]) -> str:
    """The text of a file with other ends of cases, by their index. Raises SpliceError."""
    splicer = Splicer(text, _same)
    cases = child(compose(text), "cases")
    edits = []
    for index, now in found.items():
        node = child(cases, index)
        if not isinstance(node, yaml.MappingNode):
            raise SpliceError("expected a mapping")
        old, new = _ends(goldens[index].case, now, [key.value for key, _ in node.value])
        edits += splicer.mapping(node, old, new, write_end)
    return splicer.apply(edits)


def check(
    text: str, name: str, goldens: Sequence[Golden], changed: set[str], mappers: Mappers
) -> None:
    """Check a file's new text: it loads, the cases that changed pass, and the others are as they
    were. Raises SpliceError.
    """
    try:
        after = parse_fixtures(text, name)
    except FixtureError as error:
        raise SpliceError(f"it would not load: {error}") from None
    others = [golden.case for golden in after if golden.case.name not in changed]
    if others != [golden.case for golden in goldens if golden.case.name not in changed]:
        raise SpliceError("it shares lines with another case (an anchor?)")
    mine = [golden for golden in after if golden.case.name in changed]
    for result in run_direct(mine, apis=APIS, mappers=mappers).results:
        if result.outcome != "passed":
            raise SpliceError(f"it would not pass: {result.message}")


def write_end(key: str, value: Any, column: int) -> str:
    """A key of a case as lines: ``expect`` with a line or more for each request."""
    if key != "expect":
        return write_flow(key, value, column)
    lines = ["expect:"]
    for api, requests in value.items():
        lines.append(f"{' ' * (column + 2)}{api}:{'' if requests else ' []'}")
        inner = column + 4
        lines += [
            f"{' ' * inner}- {flow(request, inner + 2, inner + INDENT)}" for request in requests
        ]
    return "\n".join(lines)


def _ends(case: Case, now: Present, keys: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys of a case with their values, before and after; those that stay have None."""
    old: dict[str, Any] = dict.fromkeys(keys)
    if case.expect and "expect" in old:
        old["expect"] = {"v1": plain(case.expect.v1), "v2": plain(case.expect.v2)}
    if "warnings" in old:
        old["warnings"] = case.warnings
    if "reject" in old:
        old["reject"] = [rejection.model_dump() for rejection in case.reject]
    end = {"reject": now.reject} if now.reject else {"expect": now.expect}
    new: dict[str, Any] = {}
    for key in old:
        if key in ("expect", "reject"):
            new.update(end)
        elif key != "warnings":
            new[key] = None
        elif now.warnings:
            new[key] = _sorted_alike(case.warnings, now.warnings)
    new.update(end)
    if now.warnings:
        new.setdefault("warnings", now.warnings)
    if case.reject and now.reject:
        new["reject"] = _sorted_alike(old["reject"], now.reject)
    return old, new


def _sorted_alike(old: list[Any], new: list[Any]) -> list[Any]:
    """The old list where the new one differs by its order alone, which means nothing."""
    return old if sorted(map(repr, old)) == sorted(map(repr, new)) else new


def _same(old: Any, new: Any) -> bool:
    return matches(old, concrete(new), NOW.window)
