"""What is masked in a dead letter: none of the person's values survive, and its structure does."""

from typing import Any

import orjson
import pytest
from cio_sidecar.rpc.masking import Masked, mask_path, mask_words
from hypothesis import given
from hypothesis import strategies as st

EVENT = {
    "type": "track",
    "messageId": "m-1",
    "userId": "ann-77",
    "event": "Order Completed",
    "timestamp": "2026-03-02T09:30:00Z",
    "properties": {
        "total": 99.5,
        "coupon": None,
        "gift": True,
        "note": "",
        "lines": [{"sku": "x1"}],
    },
}
ITEM = {
    "type": "person",
    "identifiers": {"id": "ann-77"},
    "action": "event",
    "name": "Order Completed",
    "id": "m-1",
    "timestamp": 1772443800,
    "attributes": {"total": 99.5},
}
BATCH = "/api/v2/batch"


def masked(event: Any = None, path: str = BATCH, request: Any = None) -> Masked:
    return Masked(orjson.dumps(event or EVENT), path, orjson.dumps(request or {"batch": [ITEM]}))


def test_an_event_keeps_its_keys_its_type_its_name_and_its_id() -> None:
    assert orjson.loads(masked().event) == {
        "type": "track",
        "messageId": "m-1",
        "userId": "<text>",
        "event": "Order Completed",
        "timestamp": "<text>",
        "properties": {
            "total": "<number>",
            "coupon": None,
            "gift": "<true or false>",
            "note": "",
            "lines": [{"sku": "<text>"}],
        },
    }


def test_the_name_of_a_page_is_hidden_for_it_may_be_an_address() -> None:
    page = {"type": "page", "messageId": "m", "name": "https://shop/?id=7", "event": "E"}
    assert orjson.loads(masked(page).event) == {**page, "name": "<text>", "event": "<text>"}


def test_an_email_address_in_a_name_or_a_key_is_hidden() -> None:
    event = {**EVENT, "event": "Invited bob@example.com", "properties": {"x@y.z": 1}}
    item = {**ITEM, "name": event["event"]}
    found = masked(event, request={"batch": [item]})
    assert found.event_name == "Invited <email>"
    assert b"@" not in found.event + found.request


def test_a_long_text_has_its_length_told() -> None:
    event = {**EVENT, "properties": {"note": "x" * 1234}}
    shown = orjson.loads(masked(event).event)["properties"]
    assert shown == {"note": "<text of 1,234 characters>"}


def test_an_operation_keeps_what_it_is_and_hides_for_whom() -> None:
    shown = {
        **ITEM,
        "identifiers": {"id": "<text>"},
        "timestamp": "<number>",
        "attributes": {"total": "<number>"},
    }
    assert orjson.loads(masked().request) == {"batch": [shown]}
    assert orjson.loads(masked(request=ITEM).request) == shown


def test_the_attributes_of_an_identify_by_v1_are_hidden_whatever_they_are_called() -> None:
    attributes = {"type": "event", "name": "Order Completed", "id": "m-1", "action": "identify"}
    found = masked(path="/api/v1/customers/ann-77", request=attributes)
    assert orjson.loads(found.request) == dict.fromkeys(attributes, "<text>")


def test_a_name_or_an_id_that_a_table_took_from_elsewhere_is_hidden() -> None:
    item = {**ITEM, "name": "ann-77", "id": "ann-77", "type": "ann-77"}
    shown = orjson.loads(masked(request=item).request)
    assert [shown[key] for key in ("name", "id", "type")] == ["<text>"] * 3


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/api/v1/customers/ann%2F77/events", "/api/v1/customers/…/events"),
        ("/api/v1/customers/events/devices/devices", "/api/v1/customers/…/devices/…"),
        ("/api/v1/customers/cio_1/devices/t%40", "/api/v1/customers/…/devices/…"),
        ("/api/v1/merge_customers", "/api/v1/merge_customers"),
        ("/api/v2/batch?who=ann", "/api/v2/batch"),
        ("/proxy/api/v2/entity", "/…/api/v2/entity"),
    ],
)
def test_a_path_shows_what_is_asked_and_not_for_whom(path: str, shown: str) -> None:
    assert mask_path(path) == shown


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("HTTP 400: name: must not be empty", "HTTP 400: name: must not be empty"),
        ("HTTP 400: ANN-77 isn't known; can't be", "HTTP 400: <text> isn't known; can't be"),
        ("HTTP 400: bob.o'hara@x.org is bad", "HTTP 400: bob.o'<email> is bad"),
        ("HTTP 400: got 'Bob O'Hara', not 5", 'HTTP 400: got "<text>", not 5'),
        ('HTTP 400: got "Bob \\" x" and "cut', 'HTTP 400: got "<text>" and "<text>"'),
        ("HTTP 400: ann%2D77", "HTTP 400: ann%2D77"),
        ("HTTP 99.5: 99.5", "HTTP <text>: <text>"),
        ("HTTP 400", "HTTP 400"),
    ],
)
def test_words_lose_addresses_quoted_words_and_known_values(words: str, shown: str) -> None:
    assert mask_words(words, {"ann-77", "99.5", "77", ""}) == shown


def test_words_that_were_cut_within_a_value_lose_what_is_left_of_it() -> None:
    words = ("HTTP 400: " + "." * 2000)[:995] + "ann-7"
    assert mask_words(words, {"ann-77"}) == words.removesuffix("ann-7") + "<text>"


def test_an_answer_keeps_its_codes_and_hides_what_it_repeats() -> None:
    answer = {
        "errors": [
            {
                "batch_index": 3,
                "reason": "invalid",
                "field": "identifiers.id",
                "message": "'ann' and ann-77 are no email bob@x.org",
                "got": "something",
            }
        ]
    }
    (shown,) = orjson.loads(masked().answer(orjson.dumps(answer)))["errors"]
    assert shown == {
        "batch_index": 3,
        "reason": "invalid",
        "field": "identifiers.id",
        "message": '"<text>" and <text> are no email <email>',
        "got": "<text>",
    }


def test_the_numbers_of_an_answer_are_shown_though_the_event_holds_the_same() -> None:
    event = {**EVENT, "properties": {"position": 0, "total": 400, "pin": 1234}}
    answer = {"status": 400, "errors": [{"batch_index": 0, "code": 1234, "got": 400}]}
    assert orjson.loads(masked(event).answer(orjson.dumps(answer))) == {
        "status": 400,
        "errors": [{"batch_index": 0, "code": "<number>", "got": "<number>"}],
    }


def test_what_is_no_json_is_left_out() -> None:
    cut = Masked(orjson.dumps(EVENT), BATCH, b'{"batch":[{"type":"per')
    assert (cut.request, cut.answer(b"<html>ann-77</html>")) == (b"", b"")


def test_a_request_that_nests_too_deep_is_left_out_and_its_event_is_shown() -> None:
    deep = b'{"a":' * 252 + b"1" + b"}" * 252
    event = b'{"type":"track","properties":%s}' % deep
    found = Masked(event, BATCH, b'{"batch":[{"attributes":%s}]}' % deep)
    assert orjson.loads(found.event)["type"] == "track"
    assert found.request == b""


SIZE = 1024 * 1024
UNITS = ["a", "@", "a@", "@ ", "a@b.c,", '"', "'", " '", "a'", "\\", "`", "“", "<", "é", "a\"'\\@ "]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", UNITS)
def test_masking_takes_linear_time_in_a_key_a_value_and_words(unit: str) -> None:
    text = (unit * SIZE)[:SIZE]
    found = masked({"type": "track", "properties": {text: text}})
    assert found.event
    assert found.words(f"HTTP 400: {text[:990]}")
    assert found.words(text) == "<text>"
    found.answer(orjson.dumps({"errors": [{"message": text[:60_000], text[:2000]: 1}]}))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "values",
    [
        [f"value {n}" for n in range(50_000)],
        ["a" * n for n in range(3, 1400)],
        ["a" * 20 + str(n) for n in range(20_000)],
        ["a" * (n % 40) + "b" + "a" * (n // 40) for n in range(4000)],
    ],
    ids=["many", "each_length", "one_start", "one_letter_differs"],
)
def test_masking_words_takes_bounded_time_in_the_values_of_an_event(values: list[str]) -> None:
    found = masked({"type": "track", "properties": {"v": values}})
    told = max(values, key=len)
    assert told not in found.words("HTTP 400: " + told[:990])
    answer = {"errors": [{"message": "a" * 40}] * 900 + [{"message": told}]}
    assert told.encode() not in found.answer(orjson.dumps(answer))


@pytest.mark.timeout(20)
def test_an_answer_with_a_thousand_errors_is_masked() -> None:
    values = [f"v-{n}-x" for n in range(1000)]
    errors = [{"batch_index": n, "message": f"bad {value}"} for n, value in enumerate(values)]
    answer = orjson.dumps({"errors": errors})
    shown = orjson.loads(masked({"type": "track", "v": values}).answer(answer))
    assert [error["batch_index"] for error in shown["errors"]] == [*range(1000)]
    assert {error["message"] for error in shown["errors"]} == {"bad <text>"}


def test_words_with_more_values_than_can_be_looked_for_are_hidden() -> None:
    found = masked({"type": "track", "v": [f"value {n}" for n in range(30_000)]})
    assert found.words("HTTP 400: name: must not be empty") == "HTTP 400: <text>"
    assert found.answer(b'{"errors":[{"message":"m"}]}') == b""


@pytest.mark.parametrize(
    "body",
    [
        b'{"errors":' + b"[" * 300 + b"]" * 300 + b"}",
        b"[" * 2000 + b"]" * 2000,
        b'{"errors":NaN}',
        rb'{"errors":["\ud800"]}',
    ],
)
def test_an_answer_beyond_the_bounds_is_left_out(body: bytes) -> None:
    assert masked().answer(body) == b""


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("İPEK or ipek", "<text> or <text>"),
        ("ΛΔΣ is ΛΔΣa", "<text> is <text>a"),
        ("/%C3%89t%C3%A9/", "/<text>/"),
        ("ann-77-secret", "<text>"),
    ],
)
def test_words_lose_values_in_any_case_and_where_they_overlap(words: str, shown: str) -> None:
    assert mask_words(words, {"ipek", "λδς", "Été", "ann-7", "7-secret"}) == shown


# Texts that no key, no word of the sidecar and no replacement holds.
TEXTS = st.text("ABXYZqvw019.-_'\"%/@ é☃", min_size=4, max_size=40)
NUMBERS = st.integers(10_000_000, 2**60) | st.floats(1e7, 1e15)
VALUES = st.recursive(
    TEXTS | NUMBERS | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("klm", min_size=1), inner),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text("klm", min_size=1), VALUES, max_size=4)


def leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return (
        [str(value)] if isinstance(value, (str, int, float)) and value not in (True, False) else []
    )


@given(user=TEXTS, event_name=st.text("Order ", min_size=1), data=OBJECTS, rest=st.data())
def test_no_value_of_a_person_survives_anywhere(
    user: str, event_name: str, data: dict[str, Any], rest: st.DataObject
) -> None:
    event = {
        "type": rest.draw(st.sampled_from(["track", "page", "identify"])),
        "messageId": "m-1",
        "userId": user,
        "event": event_name,
        "traits": data,
        "properties": rest.draw(OBJECTS),
    }
    item = {**ITEM, "identifiers": {"id": user}, "attributes": rest.draw(OBJECTS)}
    path = rest.draw(st.sampled_from([BATCH, "/api/v1/customers/x", "/api/v1/customers/x/events"]))
    found = masked(event, path, rest.draw(st.sampled_from([item, {"batch": [item]}, data])))
    known = [*leaves({key: event[key] for key in ("userId", "traits", "properties")}), user]
    told = rest.draw(st.sampled_from(known))
    said = rest.draw(st.sampled_from(["{}", "a {} b", "x: '{}'", '"{}"', "({})"])).format(told)
    answer = {"errors": [{"message": said, "reason": said, "other": told, "field": said}]}
    for shown in (
        orjson.loads(found.event),
        orjson.loads(found.request),
        orjson.loads(found.answer(orjson.dumps(answer))),
        [found.words(f"HTTP 400: {said}")],
    ):
        for text in leaves(shown):
            for value in known:
                assert value not in text
