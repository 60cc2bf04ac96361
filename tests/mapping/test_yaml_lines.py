"""YAML by the 1.2 core schema, with lines."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from cio_sidecar.yaml_lines import YamlError, load
from hypothesis import given
from hypothesis import strategies as st

from tests.mapping.strategies import JSON


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("2026-03-02", "2026-03-02"),
        ("2026-03-02T15:22:16Z", "2026-03-02T15:22:16Z"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("017", 17),
        ("0o17", 15),
        ("0xfF", 255),
        ("-0x1", "-0x1"),
        ("+7", 7),
        ("-7", -7),
        ("9007199254740993", 9007199254740993),
        ("1.0", 1.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("-1.5E-2", -0.015),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("+.INF", math.inf),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        ("null", None),
        ("~", None),
        ("", None),
        ("nULL", "nULL"),
        ("1e", "1e"),
        ("'5'", "5"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("!!int '5'", 5),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_scalars_are_read_by_the_core_schema(written: str, value: Any) -> None:
    read = load(f"a: {written}").value["a"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("written", [".nan", ".NaN", ".NAN"])
def test_not_a_number_is_read_in_its_three_spellings(written: str) -> None:
    assert math.isnan(load(written).value)


class _Quoting(yaml.SafeDumper):
    """Puts text in quotes: YAML 1.1, which PyYAML writes, takes 0E0 for text, and 1.2 does not."""


_Quoting.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


@given(JSON)
def test_any_json_value_written_as_yaml_is_read_back(value: Any) -> None:
    text = yaml.dump(value, Dumper=_Quoting, allow_unicode=True)
    assert repr(load(text).value) == repr(yaml.safe_load(text))


TEXT = """\
# a comment
table: t

rows:
  - key: a
    from:
      - one
      - path: two
        apply: [x,
                y]
  -
    key: b
    doc: >-
      folded
      text
"""
LINES = {
    (): 2,
    ("table",): 2,
    ("rows",): 4,
    ("rows", 0): 5,
    ("rows", 0, "key"): 5,
    ("rows", 0, "from"): 6,
    ("rows", 0, "from", 0): 7,
    ("rows", 0, "from", 1): 8,
    ("rows", 0, "from", 1, "path"): 8,
    ("rows", 0, "from", 1, "apply"): 9,
    ("rows", 0, "from", 1, "apply", 0): 9,
    ("rows", 0, "from", 1, "apply", 1): 10,
    ("rows", 1): 12,
    ("rows", 1, "key"): 12,
    ("rows", 1, "doc"): 13,
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_value_has_its_line(end: str) -> None:
    assert load(TEXT.replace("\n", end)).lines == LINES


def test_a_place_without_a_line_has_that_of_the_nearest_around_it() -> None:
    document = load(TEXT)
    assert document.line(("rows", 0, "from", 1, "oops", 3)) == 8
    assert document.line(("rows", 9)) == 4
    assert document.line(("nothing",)) == 2


def test_windows_line_ends_leave_no_trace_in_values() -> None:
    assert load("a: x\r\nb: |\r\n  one\r\n  two\r\n").value == {"a": "x", "b": "one\ntwo\n"}


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: {c: 1, c: 2}", 2, "the key 'c' stands twice"),
        ("a:\n  - x: 1\n    x: 1", 3, "the key 'x' stands twice"),
        ("a: 1\ntrue: 1", 2, "a key must be text: quote 'true'"),
        ("a: 1\n? [x]\n: 1", 2, "a key must be text, not a list or an object"),
        ("a: !!float '1,5'", 1, "'1,5' can't be read as float"),
        (f"a: 1\nb: {'9' * 5000}", 2, "can't be read as int"),
        ("a: *b", 1, "found undefined alias"),
        ("a: \x01", 1, "control characters are not allowed"),
    ],
)
def test_what_cannot_be_read_is_named_by_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(YamlError) as caught:
        load(text)
    assert caught.value.line == line
    assert problem in caught.value.problem
    assert str(caught.value) == f"line {line}: {caught.value.problem}"


@given(st.text(max_size=40))
def test_any_text_is_read_or_rejected(text: str) -> None:
    line: int | None = None
    try:
        load(text)
    except YamlError as error:
        line = error.line
    assert line is None or line >= 1
