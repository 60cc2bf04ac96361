"""Masks a person's data in what is kept of an event. PURE.

What stays: keys and structure, the type of an event, a track event's name, the message_id, and the
codes of an answer. What a value was is told by a word alone, ``<text>``. Words of Customer.io's may
hold anything: in these go email addresses, what stands in quotes, and whatever is a value of the
event or of its request.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote

import orjson

from cio_sidecar.customerio.operation import EVENT_ACTIONS
from cio_sidecar.operations import OPERATIONS, V1

TEXT: Final = "<text>"
_EMAIL: Final = "<email>"
_LONG_CHARACTERS: Final = 100
"""A text that is longer than this has its length told: it may be the mistake."""
_FEWEST_CHARACTERS: Final = 3
"""A value that is shorter is not looked for in words: nearly any word would hold it."""

_CUT_CHARACTERS: Final = 1000
"""Where the reason of a refusal is cut."""

_EMAILS: Final = re.compile(r"[^\s\"'`<>(),;:=]+@[^\s\"'`<>(),;:=]+")
_QUOTED: Final = re.compile(
    r""""(?:\\.|[^"\\])*(?:"|\\?$)|(?<!\w)'.*?(?:'(?!\w)|$)|`[^`]*(?:`|$)|“[^”]*(?:”|$)""",
    re.DOTALL,
)
_HEAD: Final = re.compile(r"HTTP \d{3}(?:: )?")
# Of an answer: the keys of what Customer.io says in its own words, and of its own numbers.
_WORDS_KEYS: Final = frozenset({"reason", "field", "message", "error", "errors", "detail", "code"})
_NUMBER_KEYS: Final = frozenset({"batch_index", "status"})

_SPECS: Final = [spec.v2 for spec in OPERATIONS.values() if spec.v2]
_KINDS: Final[dict[str, frozenset[str]]] = {
    "type": frozenset({"person", *EVENT_ACTIONS, *(str(spec["type"]) for spec in _SPECS)}),
    "action": frozenset({"identify", *EVENT_ACTIONS, *(str(spec["action"]) for spec in _SPECS)}),
}
"""The words that say what an operation is, by the key that they stand at."""
_SEGMENTS: Final = frozenset(
    segment
    for path in (
        "/api/v1/customers/-/events",
        "/api/v2/batch",
        "/api/v2/entity",
        *(spec.v1.path for spec in OPERATIONS.values() if isinstance(spec.v1, V1)),
    )
    for segment in path.split("/")
    if "{" not in segment
)
_BEFORE_IDS: Final = frozenset({"customers", "devices"})


class Masked:
    """A dead letter's event, request and answer, and the words about it, masked."""

    def __init__(self, event: bytes, path: str, request: bytes) -> None:
        """The event as canonical JSON; the path and the body of the request that was refused."""
        self._event = _parse(event)
        self._path = path
        self._request = _parse(request)
        fields = self._event if isinstance(self._event, dict) else {}
        self.event_type = _text(fields.get("type"))
        self.name = _name(fields)
        """A track event's name as it is; empty for any other event."""
        self.event_name = mask_emails(self.name)
        self._shown = {_text(fields.get("messageId")), self.name} - {""}
        values = {*_leaves(self._event), *_leaves(self._request)}
        values.update([quote(value, safe="") for value in values])
        self._values = values - self._shown - {self.event_type}

    @property
    def event(self) -> bytes:
        """The event, its values replaced."""
        shown = {"messageId", "type", *(("event",) if self.event_name else ())}
        return _dump(_mask(self._event, lambda key, _: key in shown))

    @property
    def path(self) -> str:
        """The request's path, without ids and tokens."""
        return mask_path(self._path)

    @property
    def request(self) -> bytes:
        """The request's body, its values replaced; empty where it is no JSON, such as one cut."""
        named = self._path.startswith("/api/v2/") or self._path.endswith("/events")
        body = self._request
        if isinstance(body, dict) and isinstance(body.get("batch"), list) and len(body) == 1:
            return _dump({"batch": [_mask(item, self._is_kind) for item in body["batch"]]})
        return _dump(_mask(body, self._is_kind if named else _is_hidden))

    def answer(self, body: bytes) -> bytes:
        """The body of an answer, its words masked; empty where it is no JSON."""
        return _dump(self._mask_answer(_parse(body), ""))

    def words(self, text: str) -> str:
        """Words about the event, such as the reason of its refusal."""
        return mask_words(text, self._values)

    def _is_kind(self, key: str, value: Any) -> bool:
        """Whether a value of an operation says only what else is shown."""
        if key in _KINDS:
            return isinstance(value, str) and value in _KINDS[key]
        return isinstance(value, str) and key in ("id", "name") and value in self._shown

    def _mask_answer(self, value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {
                self.words(name): self._mask_answer(inner, name) for name, inner in value.items()
            }
        if isinstance(value, list):
            return [self._mask_answer(inner, key) for inner in value]
        if isinstance(value, str) and key in _WORDS_KEYS:
            return self.words(value)
        if isinstance(value, int) and not isinstance(value, bool) and key in _NUMBER_KEYS:
            # Never a person's, though an event may well hold the same number.
            return value
        if _is_number(value) and key == "code" and str(value) not in self._values:
            return value
        return _mask_value(value)


def mask_words(text: str, values: Iterable[str] = ()) -> str:
    """Words without email addresses, what stands in quotes, and any of these values.

    The status at the beginning (``HTTP 400: ``) stays.
    """
    head = _HEAD.match(text)
    start = head.end() if head else 0
    words = text[start:]
    long_enough = {value for value in values if len(value) >= _FEWEST_CHARACTERS}
    if len(text) >= _CUT_CHARACTERS:
        words = _without_beginning_at_end(words, long_enough)
    lowered = words.lower()
    found = [value for value in long_enough if value in words or value.lower() in lowered]
    if found:
        # The longest first: it may hold another.
        pattern = "|".join(map(re.escape, sorted(found, key=len, reverse=True)))
        words = re.sub(pattern, TEXT, words, flags=re.IGNORECASE)
    return text[:start] + _QUOTED.sub(f'"{TEXT}"', mask_emails(words))


def mask_emails(text: str) -> str:
    """Words without email addresses."""
    return _EMAILS.sub(_EMAIL, text)


def mask_path(path: str) -> str:
    """A request's path without what identifies somebody."""
    segments = path.partition("?")[0].split("/")
    return "/".join(
        segment if segment in _SEGMENTS and before not in _BEFORE_IDS else "…"
        for before, segment in zip(["", *segments], segments, strict=False)
    )


def values_of(*documents: bytes) -> set[str]:
    """The texts and numbers in JSON documents, as mask_words() takes them."""
    return {value for document in documents for value in _leaves(_parse(document))}


def _without_beginning_at_end(words: str, values: Iterable[str]) -> str:
    """Words that were cut, perhaps in the middle of a value, without what is left of that."""
    longest = 0
    for value in values:
        for length in range(min(len(value), len(words)), max(longest, _FEWEST_CHARACTERS - 1), -1):
            if words.endswith(value[:length]):
                longest = length
                break
    return words[: len(words) - longest] + TEXT if longest else words


def _mask(document: Any, is_shown: Callable[[str, Any], bool]) -> Any:
    """A document without its values, but for those at its top that are shown."""
    if not isinstance(document, dict):
        return _mask_value(document)
    return {
        mask_emails(key): _shown(key, value) if is_shown(key, value) else _mask_value(value)
        for key, value in document.items()
    }


def _shown(key: str, value: Any) -> Any:
    """A value that stays: an id or a kind as it is, a name without email addresses in it."""
    if not isinstance(value, str):
        return value if _is_number(value) else _mask_value(value)
    return value if key in ("messageId", "id", *_KINDS) else mask_emails(value)


def _is_hidden(_: str, __: Any) -> bool:
    return False


def _mask_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {mask_emails(key): _mask_value(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_mask_value(inner) for inner in value]
    if isinstance(value, bool):
        return "<true or false>"
    if isinstance(value, str) and value:
        long = len(value) > _LONG_CHARACTERS
        return f"<text of {len(value):,} characters>" if long else TEXT
    return "<number>" if _is_number(value) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif text := _text(value):
        yield text


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value) if _is_number(value) else ""


def _name(event: dict[str, Any]) -> str:
    return _text(event.get("event")) if event.get("type") == "track" else ""


def _parse(document: bytes) -> Any:
    try:
        return orjson.loads(document)
    except orjson.JSONDecodeError:
        return None


def _dump(document: Any) -> bytes:
    return b"" if document is None else orjson.dumps(document)
