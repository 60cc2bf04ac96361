"""CEL expressions: what compiles, what comes out, and that no event makes one raise or run wild."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from cio_sidecar.mapping.event import unfit
from cio_sidecar.mapping.running.expressions import (
    MAX_CHARACTERS,
    TYPES,
    Expression,
    ExpressionError,
)
from cio_sidecar.mapping.running.transforms import ABSENT, TRANSFORMS, NoValue
from cio_sidecar.operations import OPERATIONS
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mapping.strategies import EVENTS, JSON
from tests.mapping.support import load, mistakes, rejections, render


def value(source: str, **event: Any) -> Any:
    return Expression(source)(event)


def canonical(made: Any) -> bytes:
    """JSON that tells 1 from 1.0, and not in which order an object is."""
    return orjson.dumps(made, option=orjson.OPT_SORT_KEYS)


def why(source: str, **event: Any) -> str:
    """Why there is no value."""
    found = Expression(source)(event)
    assert isinstance(found, NoValue), found
    return found.why or ""


def rejected(source: str) -> str:
    with pytest.raises(ExpressionError) as caught:
        Expression(source)
    return str(caught.value)


# What compiles


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("event.a", "DYN"),
        ("event", "MAP"),
        ("1", "INT"),
        ("1u", "UINT"),
        ("1.5", "DOUBLE"),
        ("'x'", "STRING"),
        ("true", "BOOL"),
        ("null", "NULL"),
        ("[event.a]", "LIST"),
        ("{'a': event.a}", "MAP"),
        ("event.a + 1", "INT"),
        ("event.a > 1", "BOOL"),
        ("has(event.a) ? event.a : 'none'", "DYN"),
        ("event.items.map(i, i.price)", "LIST"),
        ("text(event.a)", "DYN"),
        ("string(timestamp(event.a))", "STRING"),
    ],
)
def test_an_expression_says_what_type_it_gives(source: str, kind: str) -> None:
    assert Expression(source).type == kind


def test_every_type_of_a_key_says_which_expressions_fit_it() -> None:
    used = {key.type for spec in OPERATIONS.values() for key in spec.keys.values()}
    assert used <= TYPES.keys()


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("event.a", ("a",)),
        ("event.a.b + event.c + event.a.b", ("a.b", "c")),
        ("event.a.b.size()", ("a.b",)),
        ("event.items.map(i, i.price)", ("items",)),
        ("has(event.a.b)", ("a.b",)),
        ("'event.x' + \"event.y\" + event.z", ("z",)),
        ("event['a b']", ()),
        ("event", ()),
        ("1", ()),
    ],
)
def test_an_expression_names_the_fields_that_it_speaks_of(
    source: str, paths: tuple[str, ...]
) -> None:
    assert Expression(source).paths == paths


# What does not


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("event.", "at character 7: Syntax error: "),
        ("event.a ==", "at character 11: Syntax error: "),
        ("event.a; 1", "at character 8: Syntax error: "),
        ("", "at character 1: Syntax error: "),
        ("   ", "at character 4: Syntax error: "),
        ("(1", "at character 3: Syntax error: "),
        ("unknown", "at character 1: undeclared reference to 'unknown'"),
        (
            "events.a == 1",
            "at character 7: undeclared reference to 'events.a': the only variable is event, as in "
            "event.userId or event.properties.total",
        ),
        (
            "properties.total > 5",
            "at character 11: undeclared reference to 'properties.total': write "
            "event.properties.total",
        ),
        ("1 + unknown", "at character 5: undeclared reference to 'unknown'"),
        ("shout(event.a)", "at character 6: undeclared reference to 'shout'"),
        ("event.a.shout()", "at character 14: undeclared reference to 'shout'"),
        ("1 + 'a'", "at character 3: found no matching overload for '_+_'"),
        ("true ? 1 : 'a'", "at character 6: found no matching overload for '_?_:_'"),
        ("9223372036854775808", "at character 1: invalid int literal"),
    ],
)
def test_a_mistake_is_told_with_its_place(source: str, told: str) -> None:
    assert rejected(source).startswith(told)


def test_every_mistake_of_an_expression_is_told() -> None:
    assert rejected("one + event.a + two").count("undeclared reference to") == 2


def test_a_mistake_on_a_later_line_is_told_with_the_line() -> None:
    assert "line 2" in rejected("event.a +\n  unknown")


@pytest.mark.parametrize("source", ["", "1 +", "unknown", "1 + 'a'", "+".join("1" * 1_000)])
def test_what_the_runtime_says_of_itself_is_left_out(source: str) -> None:
    told = rejected(source)
    assert "INVALID_ARGUMENT" not in told
    assert "<input>" not in told
    assert len(set(told.split("; "))) == len(told.split("; "))


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("b'x'", "bytes"),
        ("bytes(event.a)", "bytes"),
        ("timestamp(event.a)", "timestamp"),
        ("duration('1s')", "duration"),
        ("timestamp(event.a) - timestamp(event.b)", "duration"),
        ("type(event.a)", "type"),
    ],
)
def test_a_result_that_json_has_no_place_for_is_rejected(source: str, kind: str) -> None:
    assert rejected(source) == (
        f"gives a {kind}, which JSON has no place for: make it text with string(), or a number "
        "with int()"
    )


def test_an_expression_has_an_end() -> None:
    longest = f"'{'x' * (MAX_CHARACTERS - 2)}'"
    assert value(longest) == "x" * (MAX_CHARACTERS - 2)
    assert rejected(longest + " ") == (
        "4,001 characters, the limit is 4,000: split it into rows, or prepare the value in your "
        "service"
    )


@pytest.mark.parametrize(
    "source",
    [
        "(" * 300 + "1" + ")" * 300,
        "[" * 300 + "1" + "]" * 300,
        "+".join("1" * 1_000),
        "event" + ".a" * 1_000,
        "".join(f"event.a == {n} ? 1 : (" for n in range(100)) + "2" + ")" * 100,
        "text(" * 100 + "event.a" + ")" * 100,
    ],
)
def test_an_expression_that_nests_too_deep_is_rejected(source: str) -> None:
    assert "recursion" in rejected(source)


# What comes out


@pytest.mark.parametrize(
    "given",
    [
        *(0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1),
        *(1.0, 1.5, -0.25, 1e300, True, False, None, "", "x", "ü😀", " x "),
        *([], [1, 2.0, None, "x", True, [[]]], {}, {"a": {"b": [1, None]}, "ü": 2**64 - 1}),
    ],
)
def test_a_value_comes_out_as_it_went_in(given: Any) -> None:
    for source in ("event.a", "[event.a][0]", "{'k': event.a}.k", "dyn(event.a)"):
        assert canonical(value(source, a=given)) == canonical(given)
    assert canonical(value("[event.a]", a=given)) == canonical([given])
    assert canonical(value("event", a=given)) == canonical({"a": given})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1 + 2", 3),
        ("1u + 2u", 3),
        ("18446744073709551615u", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("7 / 2", 3),
        ("7.0 / 2.0", 3.5),
        ("1.0", 1.0),
        ("'a' + 'b'", "ab"),
        ("[1] + [2]", [1, 2]),
        ("{'a': 1, 'b': [true, null]}", {"a": 1, "b": [True, None]}),
        ("int('5') + int(1.9)", 6),
        ("double('1.5')", 1.5),
        ("string(1.5) + string(2)", "1.52"),
        ("dyn(1) == 1.0 && 'a' != 'b' && 1 < 2", True),
        ("'abc'.contains('b') && 'abc'.matches('^a.c$')", True),
        ("int(timestamp('2023-10-01T12:00:00Z'))", 1696161600),
        ("string(timestamp('2023-10-01T12:00:00Z'))", "2023-10-01T12:00:00Z"),
        ("size('ü') + size([1]) + size({'a': 1})", 3),
        ("[1, 2, 3].filter(x, x > 1).map(x, x * 2)", [4, 6]),
        ("[1, 2].exists(x, x == 2) && [1].all(x, x > 0) && [1].exists_one(x, x == 1)", True),
        ("{'b': 1}.map(k, k)", ["b"]),
        ("null", None),
    ],
)
def test_what_an_expression_makes_of_constants(source: str, expected: Any) -> None:
    assert canonical(value(source)) == canonical(expected)


def test_an_object_comes_out_in_the_same_order_every_time() -> None:
    # The runtime's own order changes from process to process.
    names = [f"k{number * 7 % 30}" for number in range(30)]
    written = "{" + ", ".join(f"'{name}': 1" for name in names) + "}"
    for source in ("{0}", "[{0}]", "text_values({{'x': {0}}})", "{{'x': {{'y': {0}}}}}"):
        made = [
            orjson.dumps(value(source.format(within), a=given))
            for within in (written, "event.a")
            for given in (dict.fromkeys(names, 1), dict.fromkeys(reversed(names), 1))
        ]
        assert len(set(made)) == 1


@pytest.mark.parametrize("source", ["1.0 / event.a", "event.a / event.a", "[1.0 / event.a]"])
def test_a_number_that_json_lacks_is_no_value(source: str) -> None:
    assert "JSON" in why(source, a=0.0)


@pytest.mark.parametrize("source", ["double('inf')", "1e400", "{'a': double('nan')}"])
def test_a_constant_that_json_lacks_is_no_value_either(source: str) -> None:
    try:
        made: Any = Expression(source)({})
    except ExpressionError:
        made = NoValue("rejected when it is loaded")
    assert isinstance(made, NoValue)


@pytest.mark.parametrize(
    "source", ["'a\\u0000'", "[event.a + '\\u0000']", "{'k\\u0000': 1}", "event.a + '\\x00'"]
)
def test_a_null_byte_is_no_value(source: str) -> None:
    try:
        made: Any = Expression(source)({"a": "x"})
    except ExpressionError:
        made = NoValue("rejected when it is loaded")
    assert isinstance(made, NoValue)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("dyn(b'x')", "gives a bytes, which JSON has no place for"),
        ("[dyn(b'x')]", "the expression gives a bytes, which JSON has no place for"),
        ("{'a': timestamp(event.t)}", "the expression gives a timestamp, which JSON has no place"),
        ("[type(1)]", "the expression gives a type, which JSON has no place for"),
        ("{1: 2}", "the expression gives an object with a key that is not text"),
        ("{event.t: 1, '2023-10-01T12:00:00Z': 2}", "the expression has no value: duplicate key"),
    ],
)
def test_a_result_that_turns_out_not_to_be_json_is_no_value(source: str, told: str) -> None:
    assert why(source, t="2023-10-01T12:00:00Z").startswith(told)


# What is missing


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("event.a", "a"),
        ("event.b.c", "c"),
        ("event.b.c.d", "c"),
        ("event['x y']", "x y"),
        ("event.b[event.k]", "zz"),
        ("event.k + event.nope", "nope"),
        ("[event.nope]", "nope"),
        ("event.list.map(i, i.price)", "price"),
        ("has(event.nope.x)", "nope"),
    ],
)
def test_a_missing_key_is_named(source: str, key: str) -> None:
    assert why(source, b={}, k="zz", list=[{}]) == (
        f"the expression found no key {key!r}; use has(…) if it may be missing"
    )


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("event.s + 1", "No matching overloads"),
        ("event.n + 1", "No matching overloads"),
        ("event.s.x", "SELECT"),
        ("event.list[9]", "index=9"),
        ("1 / event.zero", "divide by zero"),
        ("1 % event.zero", "modulus by zero"),
        ("event.most + 1", "overflow"),
        ("int(event.s)", "cannot convert"),
        ("event.s ? 1 : 2", "No matching overloads"),
    ],
)
def test_an_expression_that_goes_wrong_says_why(source: str, told: str) -> None:
    found = why(source, s="x", n=1.5, list=[1], zero=0, most=2**63 - 1, bad="(")
    assert found.startswith("the expression has no value: ")
    assert told in found
    assert len(found) < 300


def test_what_is_asked_for_first_may_be_missing() -> None:
    source = "has(event.a) && has(event.a.b) ? event.a.b : 'none'"
    events: list[dict[str, Any]] = [{}, {"a": {}}, {"a": {"b": 1}}]
    assert [value(source, **event) for event in events] == ["none", "none", 1]
    assert value("true || event.nope == 1") is True
    assert value("event.nope == 1 || true") is True


def test_a_row_without_a_value_draws_a_warning_that_names_the_field() -> None:
    row = "  - {{key: data.x, level: {}, expr: event.properties.a.b + 1, doc: d}}\n"
    event = {"type": "track", "event": "e", "properties": {"a": {}}}
    made = render(load(f"table: default\nrows:\n{row.format('optional')}"), **event)
    assert [tuple(warning) for warning in made.warnings] == [
        ("properties.a.b", "the expression found no key 'b'; use has(…) if it may be missing")
    ]
    required = load(f"table: default\nrows:\n{row.format('required')}")
    assert rejections(required, **event) == [("properties.a.b", "REQUIRED")]


def test_an_expression_may_be_one_input_among_others() -> None:
    inputs = "[properties.a, {expr: event.properties.b + 1}, {value: 0}]"
    row = f"  - {{key: data.x, from: {inputs}, apply: [text_or_number], doc: d}}\n"
    tables = load(f"table: default\nrows:\n{row}")
    for properties, made, warned in (
        ({"a": 5, "b": 1}, 5, []),
        ({"b": 1}, 2, []),
        ({"a": 1.5, "b": 1}, 2, ["properties.a"]),
        ({}, 0, ["properties.b"]),
    ):
        result = render(tables, type="track", event="e", properties=properties)
        assert orjson.loads(result.operations[0].item)["attributes"]["x"] == made
        assert [warning.field for warning in result.warnings] == warned


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{expr: event.}", "expr: at character 7: Syntax error"),
        ("{expr: 'bytes(event.a)'}", "expr: gives a bytes"),
        ("{expr: event.a, path: a}", "an entry of from has exactly one of path, value and expr"),
    ],
)
def test_a_mistake_in_an_input_is_named_with_its_row(entry: str, problem: str) -> None:
    row = f"  - key: data.x\n    doc: d\n    from:\n      - a\n      - {entry}\n"
    (mistake,) = mistakes(f"table: default\nrows:\n{row}")
    assert mistake.startswith(f"0.yaml:7 (row default.data.x): {problem}")


# Transforms as functions


@pytest.mark.parametrize("name", TRANSFORMS)
@given(given_value=JSON)
def test_a_transform_does_in_an_expression_what_it_does_in_a_row(
    name: str, given_value: Any
) -> None:
    if unfit({"a": given_value}):
        return
    made, expected = value(f"{name}(event.a)", a=given_value), TRANSFORMS[name](given_value)
    if isinstance(expected, NoValue):
        assert isinstance(made, NoValue)
        assert made.why == expected.why
    elif name == "text_values":
        assert made.keys() == expected.keys()
        for key, text in expected.items():
            assert made[key] == text or orjson.loads(made[key]) == orjson.loads(text)
    else:
        assert canonical(made) == canonical(expected)


@pytest.mark.parametrize(
    "source",
    [
        "text(event.a)",
        "text(event.a) + 'x'",
        "[text(event.a)]",
        "{'k': text(event.a)}",
        "[1].map(x, text(event.a))",
        "identifier(text(event.a))",
        "true ? text(event.a) : 'x'",
        "text(event.a) == 'x' && true",
    ],
)
def test_without_a_value_within_there_is_none_without(source: str) -> None:
    assert why(source, a=5) == "expected text, got a number; ignored"
    assert value(source, a=" ") is ABSENT


def test_a_value_that_is_not_needed_may_be_missing() -> None:
    assert value("false && text(event.a) == 'x'", a=5) is False
    assert value("text(event.a) == 'x' || true", a=5) is True


def test_functions_and_rows_may_be_mixed() -> None:
    source = "text(event.a).size() + size(object(event.o)) + unix_seconds(event.t)"
    assert value(source, a=" xy ", o={"k": 1}, t="1970-01-01T00:00:10Z") == 13


# Whatever comes

EXPRESSIONS = tuple(
    Expression(source)
    for source in (
        "event",
        "event.properties",
        "event.properties.a + 1",
        "event.properties.a + event.traits.email",
        "event.userId + '!'",
        "event.properties.map(k, event.properties[k])",
        "event.traits.filter(k, event.traits[k] == event.userId)",
        "has(event.context) && has(event.context.page) ? event.context.page : event.name",
        "{'a': event.userId, string(event.category): [event.name, event.groupId]}",
        "text(event.name) + identifier(event.userId)",
        "unix_seconds(event.timestamp) - unix_seconds(event.receivedAt)",
        "object(event.properties) == object(event.traits)",
        "text_values(event.properties)",
        "email_sha256(event.traits.email)",
        "event.event.matches('^a.*b$')",
        "event.properties.exists(k, text(event.properties[k]) == event.event)",
        "int(event.properties.a) * int(event.properties.b)",
        "string(event.properties.a) in event.properties",
        "size(event.properties) + size(event.event)",
        "event.a.b.c",
    )
)


@settings(max_examples=300)
@given(event=EVENTS | st.dictionaries(st.sampled_from(["a", "properties", "userId", "name"]), JSON))
def test_no_event_makes_an_expression_raise(event: dict[str, Any]) -> None:
    before = orjson.dumps(event)
    for expression in EXPRESSIONS:
        made = expression(event)
        if isinstance(made, NoValue):
            assert made is ABSENT or made.why
        elif not unfit(event):
            assert unfit({"a": made}) == []
            orjson.dumps(made)
    assert orjson.dumps(event) == before


# What is read of an event


READS = st.sampled_from(
    [
        "event.{0}",
        "has(event.{0}) ? event.{0} : 'none'",
        "event.properties.size() > 1 ? event.{0} : event.{1}",
        "[event.{0}, event.{1}]",
        "event.{0}.startsWith('a') || event.{1} == 1",
        "event.properties['a b']",
        "event.{0}.exists(x, x == event.{1})",
    ]
)
PATHS = st.sampled_from(
    ["userId", "properties", "properties.a", "properties.b", "properties.a.b", "context.a"]
)
OBJECTS = st.recursive(
    st.sampled_from([None, 1, "a", True]),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "a b"]), inner) | st.lists(inner),
)


@given(
    source=READS,
    paths=st.tuples(PATHS, PATHS),
    event=st.dictionaries(st.sampled_from(["userId", "properties", "context", "name"]), OBJECTS),
)
def test_expression_reads_no_more_of_an_event_than_its_paths(
    source: str, paths: tuple[str, str], event: dict[str, Any]
) -> None:
    text = source.format(*paths)
    before = canonical(event)
    found = Expression(text)(event)
    # A name in brackets: no path is known, and CEL receives the whole event.
    whole = Expression(f"[event].map(whole, {text.replace('event.', 'whole.')})[0]")(event)
    assert canonical(event) == before
    if isinstance(whole, NoValue):
        assert isinstance(found, NoValue)
        assert found.why == whole.why
    else:
        assert canonical(found) == canonical(whole)
