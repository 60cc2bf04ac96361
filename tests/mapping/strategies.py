"""Random JSON and random events."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", "c", "email", "userId", "anonymous_id", "order.id", "name", "ü"])

SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
)

JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=4),
    ),
    max_leaves=10,
)

EMAILS = st.sampled_from(["ann@example.com", " Ann@Example.com ", "x@y.z", "no@where", "a b@c.d"])
IDS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["user1", "cio_0a1B", "cio_", "a/b?c#d e%", "..", ".", " ", "", "é" * 75]),
    EMAILS,
    st.text(min_size=1, max_size=8),
    st.integers(0, 2**64 - 1),
    st.sampled_from(["x" * 150, "x" * 151, "ü" * 76]),
)
MOMENTS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        ["2023-10-01T12:00:00Z", "2023-10-01", "1696161600", "1696161600123", "later", "", " "]
    ),
    st.integers(-(2**62), 2**62),
    st.datetimes().map(lambda moment: moment.isoformat()),
)

_RESERVED = st.sampled_from(
    ["recipient", "from_address", "reply_to", "anonymous_id", "userId", "from", "email"]
)
_RESERVED_TRAITS = st.sampled_from(
    [
        "id",
        "email",
        "phone",
        "anonymous_id",
        "created_at",
        "createdAt",
        "unsubscribed",
        "cio_subscription_preferences",
        "cio_relationships",
        "_timestamp",
        "_update",
    ]
)


def _object(*named: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    rest = st.dictionaries(NAMES | st.text(max_size=6), JSON, max_size=4)
    parts = st.tuples(rest, *named)
    return parts.map(lambda found: {key: value for part in found for key, value in part.items()})


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


PROPERTIES = _object(
    st.dictionaries(_RESERVED, st.text(max_size=5) | SCALARS, max_size=2),
    _some(name=st.text(max_size=40) | JSON, category=JSON, url=st.text(max_size=120)),
)
TRAITS = _object(
    st.dictionaries(_RESERVED_TRAITS, st.text(max_size=5) | st.booleans() | JSON, max_size=2),
    _some(
        email=EMAILS,
        createdAt=MOMENTS,
        created_at=MOMENTS,
        unsubscribed=st.booleans(),
        cio_subscription_preferences=st.fixed_dictionaries(
            {"topics": st.dictionaries(NAMES, st.booleans(), max_size=2)}
        ),
    ),
)
CONTEXT = _object(
    _some(
        page=st.fixed_dictionaries({}, optional={"url": st.text(max_size=120) | JSON}) | JSON,
        traits=_some(email=EMAILS | JSON) | JSON,
    )
)


def _or_rubbish(sensible: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Ten times the sensible one for one of anything."""
    return st.integers(0, 10).flatmap(lambda n: JSON if n == 0 else sensible)


EVENTS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["identify", "track", "track", "page", "screen"]),
        "messageId": st.sampled_from(["01HB4HBDKTPDE3GGFBKQ41C9RZ", "m1", "m2", "ß" * 100])
        | st.integers(0, 2**63),
        "receivedAt": st.just("2023-10-01T12:00:00.000Z"),
    },
    optional={
        "userId": _or_rubbish(IDS),
        "anonymousId": _or_rubbish(IDS),
        "event": _or_rubbish(st.sampled_from(["Order Completed", " x ", "ü" * 51, "a" * 101])),
        "name": _or_rubbish(st.text(max_size=120)),
        "category": JSON,
        "timestamp": _or_rubbish(MOMENTS),
        "originalTimestamp": _or_rubbish(MOMENTS),
        "properties": PROPERTIES | st.none(),
        "traits": TRAITS | st.none(),
        "context": CONTEXT | st.none(),
        "groupId": JSON,
        "integrations": JSON,
    },
)
