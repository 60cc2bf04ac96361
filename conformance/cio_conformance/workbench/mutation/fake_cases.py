"""Requests that the fake must take or reject, each with the rule that it proves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from cio_fake import FakeCustomerIO, Request
from cio_sidecar.yaml_lines import YamlError, load
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from cio_conformance.cases.golden_cases import FIXTURES, FixtureError
from cio_conformance.cases.mistakes import Mistake, described, found
from cio_conformance.cases.short_forms import expand
from cio_conformance.workbench.mutation.fake_mutants import PREFIX, FakeMutant

FAKE_CASES: Final = FIXTURES.parent / "fake_cases.yaml"
"""The suite's own."""

_NOW: Final = 1_700_000_000.5
_AUTHORIZATION: Final = {"authorization": "Basic c2l0ZTprZXk="}  # site:key


class FakeCase(BaseModel):
    """A request, and the fake's answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    rule: str
    """The rule that it proves: a mutant's name without ``fake: ``."""
    method: str = "POST"
    path: str
    body: Any = None
    auth: bool = True
    """Whether credentials go along."""
    status: int
    reasons: list[str] = []
    """Of v2: the reason of each problem."""
    form: str = ""
    """The form of a rejection: ``list``, ``single`` or ``fields``; empty where it is no matter."""

    def told(self) -> str | None:
        """What is wrong with the fake's answer; None if it is as it must be."""
        fake = FakeCustomerIO("site", "key")
        headers = _AUTHORIZATION if self.auth else {}
        raw = b"" if self.body is None else orjson.dumps(self.body)
        try:
            response = fake.handle(Request(self.method, self.path, headers, raw), _NOW)
        except Exception as error:
            # A rule left out may let through what the fake can't keep.
            return f"{self.rule}: {error!r}"
        answer = orjson.loads(response.body or b"{}")
        reasons = [error["reason"] for error in answer.get("errors", ())]
        form = "fields" if "errors" in answer else ""
        if "meta" in answer:
            form = "list" if "errors" in answer["meta"] else "single"
        got = (response.status, reasons if self.reasons else [], form if self.form else "")
        wanted = (self.status, self.reasons, self.form)
        return None if got == wanted else f"{self.rule}: expected {wanted}, got {got}"


def load_fake_cases(path: Path = FAKE_CASES) -> list[FakeCase]:
    """Read the cases. Raises FixtureError."""
    try:
        document = load(path.read_text("utf-8"))
        badly_written: list[Mistake] = []
        raw = expand(document.value, (), badly_written)
        if badly_written:
            raise FixtureError(described(badly_written, document, path.name))
        return TypeAdapter(list[FakeCase]).validate_python(raw)
    except YamlError as error:
        raise FixtureError(f"{path}:{error.line}: {error.problem}") from None
    except ValidationError as error:
        raise FixtureError(
            described(found(error, FakeCase, document), document, path.name)
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise FixtureError(f"{path}: {error}") from None


class FakeBench:
    """Tries mutants of the fake, each by the cases of its rule alone: that another case happens to
    tell as well proves nothing of the rule.
    """

    def __init__(self, cases: Sequence[FakeCase]) -> None:
        self._cases = cases

    def wrong(self) -> list[str]:
        """The cases that the fake answers otherwise without any change."""
        return [what for case in self._cases if (what := case.told())]

    def killer(self, mutant: FakeMutant) -> str | None:
        """The case that is answered otherwise under a change; None if there is none."""
        rule = mutant.name.removeprefix(PREFIX)
        with mutant.active():
            return next((rule for case in self._cases if case.rule == rule and case.told()), None)

    def unknown(self, names: Sequence[str]) -> list[str]:
        """Rules of cases that are those of no mutant of these names."""
        return [case.rule for case in self._cases if PREFIX + case.rule not in names]
