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
_OBJECT_IDS: st.SearchStrategy[Any] = st.sampled_from(["o1", "o/2", 3, "", "ü" * 75, "x" * 151])
_OBJECT_TYPES: st.SearchStrategy[Any] = st.sampled_from(["1", "2", 3, "0", "x", 1.5, None])
RELATIONSHIPS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.fixed_dictionaries(
        {
            "identifiers": st.sampled_from(
                [
                    {"object_type_id": "1", "object_id": "o1"},
                    {"object_type_id": "2", "object_id": "ü"},
                    {"cio_object_id": "ob00000001"},
                ]
            )
        },
        optional={"relationship_attributes": st.dictionaries(NAMES, SCALARS, max_size=2)},
    ),
    max_size=2,
)
MEANINGFUL = (
    "Application Installed",
    "Application Opened",
    "Application Uninstalled",
    "Device Created or Updated",
    "Device Deleted",
    "Object Deleted",
    "Relationship Added",
    "Relationship Deleted",
    "Report Delivery Event",
    "User Deleted",
    "User Suppressed",
    "User Unsuppressed",
)
"""Track events that the profile `standard` makes other operations of."""


def _object(*named: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    rest = st.dictionaries(NAMES | st.text(max_size=6), JSON, max_size=4)
    parts = st.tuples(rest, *named)
    return parts.map(lambda found: {key: value for part in found for key, value in part.items()})


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


PROPERTIES = _object(
    st.dictionaries(_RESERVED, st.text(max_size=5) | SCALARS, max_size=2),
    _some(name=st.text(max_size=40) | JSON, category=JSON, url=st.text(max_size=120)),
    _some(
        token=st.sampled_from(["tok", "a/b", 7]) | JSON,
        objectId=_OBJECT_IDS,
        object_id=_OBJECT_IDS,
        objectTypeId=_OBJECT_TYPES,
        relationshipAttributes=st.dictionaries(NAMES, SCALARS, max_size=2) | JSON,
        deliveryId=st.sampled_from(["d1", "d2", "."]) | JSON,
        metric=st.sampled_from(["opened", "delivered", "bounced", "read"]),
        deviceToken=st.sampled_from(["tok", 7]) | JSON,
        reason=st.text(max_size=8) | JSON,
        href=st.text(max_size=8) | JSON,
    ),
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
        cio_relationships=RELATIONSHIPS
        | st.fixed_dictionaries(
            {
                "action": st.sampled_from(["add_relationships", "delete_relationships"]),
                "relationships": RELATIONSHIPS,
            }
        ),
        objectTypeId=_OBJECT_TYPES,
        relationshipAttributes=st.dictionaries(NAMES, SCALARS, max_size=2) | JSON,
    ),
)
CONTEXT = _object(
    _some(
        page=st.fixed_dictionaries({}, optional={"url": st.text(max_size=120) | JSON}) | JSON,
        traits=_some(email=EMAILS | JSON, createdAt=MOMENTS) | JSON,
        device=_some(
            token=st.sampled_from(["tok", "a/b?", 7, "."]),
            type=st.sampled_from(["ios", "Android", "watchOS", "windows"]),
            model=st.text(max_size=5) | JSON,
        )
        | JSON,
        os=_some(name=st.sampled_from(["iOS", "android", "Linux"])) | JSON,
        app=_some(version=st.sampled_from(["1.2", 3, None])) | JSON,
        locale=st.sampled_from(["de-DE", "", 5]),
        groupId=_OBJECT_IDS,
        objectTypeId=_OBJECT_TYPES,
    )
)


def _or_rubbish(sensible: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Ten times the sensible one for one of anything."""
    return st.integers(0, 10).flatmap(lambda n: JSON if n == 0 else sensible)


_ANY_EVENTS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["identify", "track", "track", "track", "page", "screen", "group", "alias"]
        ),
        "messageId": st.sampled_from(["01HB4HBDKTPDE3GGFBKQ41C9RZ", "m1", "m2", "ß" * 100])
        | st.integers(0, 2**63),
        "receivedAt": st.just("2023-10-01T12:00:00.000Z"),
    },
    optional={
        "userId": _or_rubbish(IDS),
        "anonymousId": _or_rubbish(IDS),
        "event": _or_rubbish(
            st.sampled_from(["Order Completed", " x ", "ü" * 51, "a" * 101, *MEANINGFUL])
        ),
        "previousId": _or_rubbish(IDS),
        "name": _or_rubbish(st.text(max_size=120)),
        "category": JSON,
        "timestamp": _or_rubbish(MOMENTS),
        "originalTimestamp": _or_rubbish(MOMENTS),
        "properties": PROPERTIES | st.none(),
        "traits": TRAITS | st.none(),
        "context": CONTEXT | st.none(),
        "groupId": _or_rubbish(_OBJECT_IDS),
        "integrations": JSON,
    },
)

_PERSONS: st.SearchStrategy[Any] = st.sampled_from(["user1", "user2", "ann@example.com", 7])
_MEANT_PROPERTIES = _object(
    st.fixed_dictionaries(
        {
            "objectId": st.sampled_from(["o1", "o/2", 3]),
            "deliveryId": st.sampled_from(["d1", "d2"]),
            "metric": st.sampled_from(["opened", "converted", "bounced"]),
        },
        optional={
            "object_type_id": st.sampled_from(["1", 2]),
            "relationshipAttributes": st.dictionaries(NAMES, SCALARS, max_size=2),
            "deviceToken": st.sampled_from(["tok", 7]),
            "token": st.sampled_from(["tok", "a/b"]),
            "reason": st.text(max_size=8),
            "recipient": st.sampled_from(["ann@example.com", 49151]),
        },
    )
)
_MEANT_CONTEXT = _some(
    device=_some(
        token=st.sampled_from(["tok", "a/b?"]), type=st.sampled_from(["ios", "android", "PC"])
    ),
    os=_some(name=st.sampled_from(["iPadOS", "Android"])),
    app=_some(version=st.sampled_from(["1.2", 3])),
    groupId=st.sampled_from(["o1", "o2"]),
    traits=_some(email=EMAILS),
)
_MEANT_EVENTS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["track", "track", "identify", "group", "alias"]),
        "event": st.sampled_from(MEANINGFUL),
        "messageId": st.sampled_from(["m1", "m2"]),
        "receivedAt": st.just("2023-10-01T12:00:00.000Z"),
        "properties": _MEANT_PROPERTIES,
        "groupId": st.sampled_from(["o1", "o/2", 3]),
        "previousId": st.sampled_from(["user1", "user3", "bob@example.com", "cio_00000001"]),
    },
    optional={
        "userId": _PERSONS,
        "anonymousId": st.sampled_from(["anon1", "anon2"]),
        "timestamp": st.sampled_from(["2023-10-01T12:00:00Z", 1696161600, "later"]),
        "traits": TRAITS,
        "context": _MEANT_CONTEXT,
    },
)
EVENTS: st.SearchStrategy[dict[str, Any]] = _ANY_EVENTS | _MEANT_EVENTS
"""Random events, some of them such as a service that means well would send."""
