"""Table files that are small and costly: each is rejected or loaded within bounds."""

from __future__ import annotations

import pytest
from cio_sidecar.mapping.authoring.profiles import load_profile

from tests.mapping.support import EVENT_ROWS, items, load, mistakes

HEAD = "table: default\nrows:\n"
ROW = "  - {{key: data.x, doc: d, {}}}\n"
BOMB = "k: &a0 [x, x]\n" + "".join(f"k{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BOMB, "holds more than 200,000 values"),
        (f"{BOMB}? *a59\n: 1\n", "holds more than 200,000 values"),
        (f"a: &a [{'x,' * 1_000}]\nb: [{'*a,' * 10_000}]", "holds more than 200,000 values"),
        ("a: &a [*a]", "nests deeper than 100 levels"),
        ("[" * 150 + "]" * 150, "nests deeper than 100 levels"),
        ("[" * 999_999, "nesting"),
        ("- " * 400_000, "nesting"),
        ("{" * 999_999, "nesting"),
        ("".join(f"{' ' * n}a:\n" for n in range(1_400)), "nesting"),
        ("x: &x {table: t}\n<<: *x\n", "unknown key '<<'"),
        ("x: &x {table: t}\n<<: *x\n<<: *x\n", "the key '<<' stands twice"),
        (f"{'k' * 500_000}: 1\n", "mapping values are not allowed"),
        (f"? {'k' * 400_000}\n: 1\n? {'k' * 400_000}\n: 1\n", "stands twice"),
    ],
)
def test_hostile_yaml_is_rejected(text: str, problem: str) -> None:
    found = mistakes(text)
    assert any(problem in each for each in found)
    assert len("".join(found)) < 10_000


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (f"expr: '{'(' * 10_000}1{')' * 10_000}'", "20,001 characters, the limit is 4,000"),
        (f"expr: '{'1+' * 490_000}1'", "980,001 characters, the limit is 4,000"),
        (f"expr: '{'(' * 1_900}1{')' * 1_900}'", "recursion"),
        (f"expr: '{'1+' * 1_900}1'", "recursion"),
        (f"expr: event{'.a' * 1_900}", "recursion"),
        (f"expr: '{chr(92) * 3_900}'", "token recognition error"),
        (f"value: 1, when: '{'(' * 10_000}true{')' * 10_000}'", "the limit is 4,000"),
        (f"from: a{'.a' * 400_000}", "has over 20 keys"),
    ],
)
def test_hostile_row_is_rejected(row: str, problem: str) -> None:
    (found,) = mistakes(HEAD + ROW.format(row))
    assert problem in found
    assert len(found) < 1_000


@pytest.mark.parametrize("key", ["extends", "also", "otherwise"])
def test_long_chain_of_tables_works(key: str) -> None:
    def table(number: int) -> str:
        text = f"table: t{number}\ndoc: d\n"
        if key == "extends" and number:
            return f"{text}extends: t{number - 1}\nevents: []\n"
        next_table = f"{key}: t{number - 1}\n" if number else ""
        events = "[alias]" if number == 499 else "[]"
        return f"{text}events: {events}\noperation: event\n{next_table}rows:\n{EVENT_ROWS}"

    tables = load(*map(table, range(500)), profile="documented")
    assert len(tables.tables["t499"].rows) == len(EVENT_ROWS.splitlines())
    if key != "extends":
        made = items(tables, type="alias")
        assert [each["name"] for each in made] == ["Made"] * (2 if key == "also" else 1)


def test_tables_that_multiply_rows_are_rejected() -> None:
    rows = "".join(f"  - {{key: data.k{n}, value: 1, doc: d}}\n" for n in range(2_000))
    texts = [f"table: default\nrows:\n{rows}"]
    texts += [f"table: t{n}\ndoc: d\nextends: default\nwhen: {{event: e{n}}}\n" for n in range(100)]
    (problem,) = mistakes(*texts)
    assert "the tables have over 100,000 rows" in problem


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ("identify," * 21, "also has 21 tables, the limit is 20"),
        ("identify, identify", "also names a table twice"),
    ],
)
def test_table_that_is_followed_by_too_many_is_rejected(names: str, problem: str) -> None:
    (found,) = mistakes(f"table: default\nalso: [{names}]\n")
    assert found.startswith(f"0.yaml:2: {problem}")


def test_built_in_tables_are_within_the_limits() -> None:
    for profile in ("documented", "standard"):
        assert load_profile(profile).plans
