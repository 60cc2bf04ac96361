"""Turns checked calls of v1 and operations of v2 into what the store does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cio_fake.records import Device, Event, Identifier
from cio_fake.rules import Call
from cio_fake.store import Store


def apply_call(store: Store, call: Call, now: float) -> None:
    """Apply a checked v1 call; `entity` and `batch` hold operations, see `apply_operation`."""
    _CALLS[call.endpoint.name](store, call, now)


def apply_operation(store: Store, item: dict[str, Any], now: float) -> None:
    """Apply a checked v2 operation."""
    _OPERATIONS[item["type"], item["action"]](store, item, now)


# v1


def _identify(store: Store, call: Call, now: float) -> None:
    attributes = dict(call.body)
    timestamp = attributes.pop("_timestamp", None)
    relationships = attributes.pop("cio_relationships", {})
    _apply_identify(store, call.person, attributes, timestamp, now)
    # Who was not added, because of `_update`, is not added by a relationship either.
    if store.people.find(call.person):
        act = _unrelate if relationships.get("action") == "delete_relationships" else _relate
        act(store, call.person, relationships.get("relationships", ()))


def _event(store: Store, call: Call, now: float) -> None:
    store.record(call.person, _event_of_v1(call.body, now))


def _anonymous_event(store: Store, call: Call, now: float) -> None:
    event = _event_of_v1(call.body, now)
    who = Identifier("anonymous_id", event.anonymous_id) if event.anonymous_id else None
    store.record(who, event)


def _add_device(store: Store, call: Call, now: float) -> None:
    device = call.body["device"]
    store.add_device(call.person, _device(device["id"], device, now))


def _metrics(store: Store, call: Call, now: float) -> None:
    store.deliveries.append({"timestamp": int(now), **call.body})


def _push_event(store: Store, call: Call, now: float) -> None:
    body = dict(call.body)
    recipient = {"recipient": body.pop("device_id")} if "device_id" in body else {}
    metric = {"metric": body.pop("event")} if "event" in body else {}
    store.deliveries.append({"timestamp": int(now), **body, **metric, **recipient})


def _unsubscribe(store: Store, call: Call, now: float) -> None:
    # The fake sends nothing, so it can't know whose delivery this was.
    if call.body.get("unsubscribe"):
        delivery_id = call.segments["delivery_id"]
        store.deliveries.append(
            {"timestamp": int(now), "delivery_id": delivery_id, "metric": "unsubscribed"}
        )


def _submit_form(store: Store, call: Call, now: float) -> None:
    reserved = ("form_id", "form_name", "form_type", "form_url", "form_url_param")
    data = {name: value for name, value in call.body["data"].items() if name not in reserved}
    kind = "id" if "id" in data else "email"
    store.identify(Identifier(kind, data.pop(kind)), data, now)


def _place(store: Store, call: Call, *, inside: bool) -> None:
    people = [Identifier(call.id_type, value) for value in call.body["ids"]]
    store.place(int(call.segments["segment_id"]), people, inside=inside)


def _merge_people(store: Store, body: Mapping[str, Any], now: float) -> None:
    store.merge(Identifier.of(body["primary"]), Identifier.of(body["secondary"]), now)


_CALLS: Mapping[str, Callable[[Store, Call, float], None]] = {
    "region": lambda *_: None,
    "identify": _identify,
    "delete": lambda store, call, _: store.delete(call.person),
    "event": _event,
    "anonymous_event": _anonymous_event,
    "add_device": _add_device,
    "delete_device": lambda store, call, _: store.delete_device(
        call.person, call.segments["device_id"]
    ),
    "suppress": lambda store, call, _: store.suppress(call.person),
    "unsuppress": lambda store, call, _: store.unsuppress(call.person),
    "merge": lambda store, call, now: _merge_people(store, call.body, now),
    "metrics": _metrics,
    "push_events": _push_event,
    "unsubscribe": _unsubscribe,
    "submit_form": _submit_form,
    "add_to_segment": lambda store, call, _: _place(store, call, inside=True),
    "remove_from_segment": lambda store, call, _: _place(store, call, inside=False),
}


# v2


def _v2_identify(store: Store, item: dict[str, Any], now: float) -> None:
    who, attributes = Identifier.of(item["identifiers"]), dict(item.get("attributes", {}))
    _apply_identify(store, who, attributes, item.get("timestamp"), now)
    if store.people.find(who):
        _relate(store, who, item.get("cio_relationships", ()))


def _v2_event(store: Store, item: dict[str, Any], now: float) -> None:
    who = Identifier.of(item["identifiers"])
    event = Event(
        name=item["name"].strip(),
        type=item["action"],
        id=item.get("id"),
        timestamp=item.get("timestamp", int(now)),
        data=item.get("attributes", {}),
        anonymous_id=who.value if who.kind == "anonymous_id" else None,
        received_at=now,
    )
    store.record(who, event)


def _v2_add_device(store: Store, item: dict[str, Any], now: float) -> None:
    device = item["device"]
    who = Identifier.of(item["identifiers"])
    store.add_device(who, _device(device["token"], device, now))


def _v2_object(store: Store, item: dict[str, Any], _: float) -> None:
    identifiers = item["identifiers"]
    store.identify_object(identifiers, item.get("attributes", {}))
    _relate_people(store, identifiers, item.get("cio_relationships", ()))
    if "anonymous_id" in item:
        store.relate(identifiers, Identifier("anonymous_id", item["anonymous_id"]), {})


def _v2_delivery(store: Store, item: dict[str, Any], now: float) -> None:
    store.deliveries.append(
        {
            "timestamp": int(now),
            "delivery_id": item["identifiers"]["id"],
            "metric": item["name"],
            "recipient": item["attributes"]["device_token"],
        }
    )


def _of_person(
    act: Callable[[Store, Identifier, dict[str, Any]], None],
) -> Callable[[Store, dict[str, Any], float], None]:
    return lambda store, item, _: act(store, Identifier.of(item["identifiers"]), item)


_OPERATIONS: Mapping[tuple[str, str], Callable[[Store, dict[str, Any], float], None]] = {
    ("person", "identify"): _v2_identify,
    ("person", "event"): _v2_event,
    ("person", "page"): _v2_event,
    ("person", "screen"): _v2_event,
    ("person", "delete"): _of_person(lambda store, who, _: store.delete(who)),
    ("person", "add_relationships"): _of_person(
        lambda store, who, item: _relate(store, who, item["cio_relationships"])
    ),
    ("person", "delete_relationships"): _of_person(
        lambda store, who, item: _unrelate(store, who, item["cio_relationships"])
    ),
    ("person", "add_device"): _v2_add_device,
    ("person", "delete_device"): _of_person(
        lambda store, who, item: store.delete_device(who, item["device"]["token"])
    ),
    ("person", "merge"): _merge_people,
    ("person", "suppress"): _of_person(lambda store, who, _: store.suppress(who)),
    ("person", "unsuppress"): _of_person(lambda store, who, _: store.unsuppress(who)),
    ("object", "identify"): _v2_object,
    ("object", "identify_anonymous"): _v2_object,
    ("object", "delete"): lambda store, item, _: store.delete_object(item["identifiers"]),
    ("object", "add_relationships"): lambda store, item, _: _relate_people(
        store, item["identifiers"], item["cio_relationships"]
    ),
    ("object", "delete_relationships"): lambda store, item, _: _unrelate_people(
        store, item["identifiers"], item["cio_relationships"]
    ),
    ("delivery", "event"): _v2_delivery,
}


# Both


def _apply_identify(
    store: Store, who: Identifier, attributes: dict[str, Any], timestamp: int | None, now: float
) -> None:
    update_only = bool(attributes.pop("_update", False))
    store.identify(who, attributes, now, timestamp=timestamp, update_only=update_only)


def _event_of_v1(body: Mapping[str, Any], now: float) -> Event:
    return Event(
        name=body["name"].strip(),
        type=body.get("type", "event"),
        id=body.get("id"),
        timestamp=body.get("timestamp", int(now)),
        data=body.get("data", {}),
        anonymous_id=body.get("anonymous_id"),
        received_at=now,
    )


def _device(token: str, given: Mapping[str, Any], now: float) -> Device:
    return Device(
        token=token,
        platform=given["platform"],
        last_used=given.get("last_used", int(now)),
        attributes=given.get("attributes", {}),
    )


def _relate(store: Store, who: Identifier, entries: Iterable[Mapping[str, Any]]) -> None:
    for entry in entries:
        store.relate(entry["identifiers"], who, entry.get("relationship_attributes", {}))


def _unrelate(store: Store, who: Identifier, entries: Iterable[Mapping[str, Any]]) -> None:
    for entry in entries:
        store.unrelate(entry["identifiers"], who)


def _relate_people(
    store: Store, identifiers: Mapping[str, str], entries: Iterable[Mapping[str, Any]]
) -> None:
    for entry in entries:
        given = entry.get("relationship_attributes", {})
        store.relate(identifiers, Identifier.of(entry["identifiers"]), given)


def _unrelate_people(
    store: Store, identifiers: Mapping[str, str], entries: Iterable[Mapping[str, Any]]
) -> None:
    for entry in entries:
        store.unrelate(identifiers, Identifier.of(entry["identifiers"]))
