"""With CIO_EMAIL=hash_only no email address leaves the process, in whatever way it stands there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any

import orjson
import pytest
from cio_sidecar.mapping.authoring.profiles import PROFILES, load_profile
from cio_sidecar.mapping.event import check, unfit
from cio_sidecar.mapping.running.email_hashing import hash_emails
from cio_sidecar.mapping_options import MappingOptions
from cio_sidecar.renderer import Rejected, Rendered, Renderer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mapping.strategies import EVENTS, JSON
from tests.mapping.support import BASE, items, rejections

HASH_ONLY = MappingOptions(email="hash_only")
TABLES = load_profile("standard", options=HASH_ONLY)
ADDRESS = "ann@example.com"


@cache
def renderer(profile: str) -> Renderer:
    return Renderer(load_profile(profile, options=HASH_ONLY))


def sha256(address: str = ADDRESS) -> str:
    return hashlib.sha256(address.lower().encode()).hexdigest()


def hashed(text: Any) -> Any:
    return hash_emails({"a": text})["a"]


# What becomes of an address


@pytest.mark.parametrize(
    "address",
    [
        "ann@example.com",
        "Ann.Lee+shop@Mail.Example.co.uk",
        "o'neil_1-2@x-y.io",
        "müller@example.com",
        "ann@münchen.de",
        "用户@例子.公司",
        "x@y.z",
        "a/b=c@example.com",
    ],
)
def test_an_address_alone_is_replaced_by_the_hash_of_its_lower_case(address: str) -> None:
    assert hashed(address) == sha256(address)
    assert hashed(address.upper()) == sha256(address.upper())
    assert hashed([{address: [address]}]) == [{sha256(address): [sha256(address)]}]


@pytest.mark.parametrize(
    "text",
    [
        "mailto:{}",
        "write to {}, or don't",
        "write to {}.",
        "Ann <{}>",
        "({})",
        "'{}'",
        '"{}"',
        "{0};{0},{0} {0}",
        "https://x.co/?email={}&y=1",
        "https://x.co/{}/y",
        '{{"email":"{}","n":1}}',
        "name\n{}\n",
        "é{}é".replace("é", " é "),
    ],
)
def test_an_address_within_text_leaves_the_text_around_it(text: str) -> None:
    assert hashed(text.format(ADDRESS)) == text.format(sha256())
    assert hashed(text.format("Ann@Example.COM")) == text.format(sha256())


def test_the_at_of_an_address_may_be_encoded() -> None:
    assert hashed("https://x.co/?e=ann%40example.com&y=1") == f"https://x.co/?e={sha256()}&y=1"


@pytest.mark.parametrize(
    "text", ["", "@", "no@where", "@ann", "a @ b.co", "ann.example.com", "40%", "@all: 5.5", "a@b@"]
)
def test_what_is_no_address_stays_as_it_is(text: str) -> None:
    assert hashed(text) == text


@given(JSON)
def test_nothing_else_is_touched(value: Any) -> None:
    if "@" not in repr(value) and "%40" not in repr(value):
        assert repr(hashed(value)) == repr(value)


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a" * 100_000 + " @", id="a long word"),
        pytest.param("a" * 100_000 + "@", id="a word that ends in @"),
        pytest.param("@" + "a." * 50_000, id="a domain without an end"),
        pytest.param("x@" + "a-" * 50_000, id="a domain without a dot"),
        pytest.param("a@" * 50_000, id="many of them"),
        pytest.param("%40" * 33_000, id="many encoded ones"),
        pytest.param("(" * 100_000 + "@", id="brackets"),
    ],
)
def test_no_text_keeps_the_process_busy(text: str) -> None:
    assert len(hashed(text)) > 0


# What the operations hold


def test_a_person_has_the_hash_and_no_email() -> None:
    (made,) = items(TABLES, type="identify", traits={"email": " Ann@Example.com ", "plan": "pro"})
    assert made["identifiers"] == {"id": "u"}
    assert made["attributes"] == {"plan": "pro", "email_sha256": sha256()}


def test_an_email_can_still_be_unset() -> None:
    (made,) = items(TABLES, type="identify", traits={"email": None})
    assert made["attributes"]["email"] is None


def test_a_person_who_is_known_by_an_address_alone_is_known_by_its_hash() -> None:
    (made,) = items(TABLES, type="identify", userId=ADDRESS)
    assert made["identifiers"] == {"id": sha256()}
    assert rejections(TABLES, type="identify", userId=None, traits={"email": ADDRESS}) == [
        ("userId", "REQUIRED")
    ]


def test_an_event_of_an_address_alone_is_anonymous_or_rejected() -> None:
    event = {"type": "track", "event": "e", "userId": None, "traits": {"email": ADDRESS}}
    (made,) = items(TABLES, **event, anonymousId="a")
    assert made["identifiers"] == {"anonymous_id": "a"}
    assert [reason for _, reason in rejections(TABLES, **event)] == ["NO_PERSON"]


@pytest.mark.parametrize("recipient", [ADDRESS, "somebody"])
def test_an_invite_is_rejected(recipient: str) -> None:
    event = {"type": "track", "event": "e", "userId": None, "properties": {"recipient": recipient}}
    assert [reason for _, reason in rejections(TABLES, **event)] == ["NO_PERSON"]


def test_what_is_stored_of_the_event_is_hashed_too() -> None:
    event = {**BASE, "type": "track", "event": ADDRESS, "properties": {ADDRESS: f"to {ADDRESS}"}}
    result = renderer("standard").render(event)
    assert isinstance(result, Rendered)
    assert orjson.loads(result.event) == {
        **event,
        "event": sha256(),
        "properties": {sha256(): f"to {sha256()}"},
    }


# Wherever it stands

_WORDS = st.text("abzAZ019_ü-", min_size=1, max_size=6).filter(lambda word: word.strip("-"))
ADDRESSES: st.SearchStrategy[str] = st.builds(
    "{}@{}.{}".format,
    st.lists(_WORDS, min_size=1, max_size=3).map(lambda words: "+".join(words).strip("-")),
    st.lists(_WORDS.map(lambda word: f"d{word}d"), min_size=1, max_size=2).map(".".join),
    st.sampled_from(["co", "de", "example", "x", "museum"]),
).filter(lambda address: not address.startswith("@"))
_AROUND = st.sampled_from(
    [
        *("{}", "{}", " {} ", "mailto:{}", "to {} now", "<{}>", '{{"e": "{}"}}', "{}, x@y.co"),
        *("https://x.co/?e={}&y=1", "https://x.co/{}", "({})", "'{}'", "a={}", "{}?subject=x"),
    ]
)
FIELDS = (
    "userId",
    "anonymousId",
    "groupId",
    "previousId",
    "event",
    "name",
    "category",
    "messageId",
)


@st.composite
def _holding(draw: st.DrawFn, address: str) -> Any:
    """A value that holds the address somewhere."""
    written = address.replace("@", "%40") if draw(st.integers(0, 4)) == 0 else address
    value: Any = draw(_AROUND).format(written)
    for _ in range(draw(st.integers(0, 3))):
        wrap = draw(st.integers(0, 3))
        if wrap == 0:
            value = [1, value]
        elif wrap == 1:
            value = {draw(_AROUND).format(address): value}
        else:
            value = {draw(st.sampled_from(["a", "email", "id", "recipient", "href"])): value}
    return value


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """An event and an address that stands in it, at times where the event is then rejected."""
    event, address = draw(EVENTS), draw(ADDRESSES)
    for _ in range(draw(st.integers(1, 4))):
        value = draw(_holding(address))
        where = draw(st.sampled_from([*FIELDS, "properties", "traits", "context", "timestamp"]))
        if where in ("properties", "traits", "context"):
            name = draw(st.sampled_from(["x", "email", "device", "objectId", address, "traits"]))
            event[where] = {**(event.get(where) or {}), name: value}
        elif where != "messageId" or isinstance(value, str):
            event[where] = value
    return event, address


SPOILT = (
    lambda address: {"properties": {address: float("nan")}},
    lambda address: {"properties": {"a": {f"{address}\0": 1}}},
    lambda address: {"traits": f"for {address}"},
    lambda address: {"context": {address: [{address: 2**70}]}},
    lambda address: {"type": address},
    lambda address: {"messageId": address, "properties": []},
)
"""What spoils the shape of an event, so that it is rejected before it is mapped."""


def everything(result: Rendered | Rejected) -> str:
    """All text of a result."""
    if isinstance(result, Rejected):
        return repr([result.message_id, *map(tuple, result.violations)])
    parts = [result.message_id, result.event.decode()]
    for operation in result.operations:
        parts += [operation.lane, operation.item.decode(), operation.beside.decode()]
    return "\n".join([*parts, *(" ".join(warning) for warning in result.warnings)])


def holds(text: str, address: str) -> bool:
    found = text.lower()
    return address.lower() in found or address.lower().replace("@", "%40") in found


@pytest.mark.parametrize("profile", PROFILES)
@settings(max_examples=400)
@given(case=cases())
def test_no_address_of_an_event_is_in_what_becomes_of_it(
    profile: str, case: tuple[dict[str, Any], str]
) -> None:
    event, address = case
    if check(event) or unfit(event):
        return  # see the next test
    result = renderer(profile).render(event)
    assert not holds(everything(result), address)
    for operation in result.operations if isinstance(result, Rendered) else ():
        assert "email" not in orjson.loads(operation.item).get("identifiers", {})


@settings(max_examples=100)
@given(case=cases(), spoil=st.sampled_from(SPOILT))
def test_no_address_is_in_what_an_event_is_rejected_for(
    case: tuple[dict[str, Any], str], spoil: Callable[[str], dict[str, Any]]
) -> None:
    event, address = case
    result = renderer("standard").render({**event, **spoil(address)})
    assert isinstance(result, Rejected)
    assert not holds(everything(result), address)


@settings(max_examples=200)
@given(case=cases())
def test_an_address_is_hashed_the_same_way_everywhere(case: tuple[dict[str, Any], str]) -> None:
    _, address = case
    event = {"userId": address, "traits": {"email": address, address: f"<{address}>"}}
    once = sha256(address)
    assert hash_emails(event) == {"userId": once, "traits": {"email": once, once: f"<{once}>"}}


@pytest.mark.parametrize("text", ["\ud800a@b.co", "a\ud800@b.co", "a@b.co\ud800", "\ud800 a@b.co"])
@pytest.mark.parametrize("where", ["messageId", "userId", "event", "properties", "type"])
def test_half_a_surrogate_pair_in_an_address_rejects_the_event(where: str, text: str) -> None:
    event = {"type": "track", "event": "E", "messageId": "m", "userId": "u"}
    result = renderer("standard").render(
        {**event, where: {text: text} if where == "properties" else text}
    )
    assert isinstance(result, Rejected)
    assert not holds(everything(result), "a@b.co")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "unit", ["a", "@", "a@", "a@b", "a@.", "%25", "%40", "\\u0040", '"@', ")@a.", "a@[1", "a@b.c,"]
)
def test_hashing_takes_linear_time(unit: str) -> None:
    size = 1024 * 1024
    hashed((unit * size)[:size])
    hashed([(unit * 640)[:640]] * (size // 640))
