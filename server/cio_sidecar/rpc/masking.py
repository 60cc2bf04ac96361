"""Masks a person's data in what is kept of an event. PURE.

What stays: keys and structure, the type of an event, a track event's name, the message_id, and the
codes of an answer. What a value was is told by a word alone, ``<text>``. Words of Customer.io's may
hold anything: in these go email addresses, what stands in quotes, and whatever is a value of the
event or of its request.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import quote

import orjson

from cio_sidecar.customerio.answer_body import parse
from cio_sidecar.customerio.encoders import EVENT_ACTIONS
from cio_sidecar.operations import OPERATIONS, V1

TEXT: Final = "<text>"
_EMAIL: Final = "<email>"
_LONG_CHARACTERS: Final = 100
"""A text that is longer than this has its length told: it may be the mistake."""
_FEWEST_CHARACTERS: Final = 3
"""A value that is shorter is not looked for in words: nearly any word would hold it."""
_PIECE: Final = _FEWEST_CHARACTERS

_CUT_CHARACTERS: Final = 1000
"""Where the reason of a rejection is cut."""

# The work is values times words. Beyond these bounds all words are hidden.
_MOST_VALUES: Final = 20_000
_MOST_WORDS: Final = 128 * 1024
_MOST_COMPARISONS: Final = 100_000_000
"""Maximum number of values times characters of words, of the values that may be there."""
_MOST_FOUND: Final = 10_000
"""Maximum number of places in words that values are found at."""
_IN_PATH: Final = 500
"""Maximum length of a value that is also looked for as a path holds it; no id is as long."""
_BETWEEN: Final = "\0"
"""Separates texts that are searched together. No value of an event holds it."""

# Each token is looked at once, from its first character: the time is linear.
_EMAILS: Final = re.compile(r"(?<![^\s\"'`<>(),;:=])@*[^\s\"'`<>(),;:=@]+@[^\s\"'`<>(),;:=]+")
# Each alternative that starts to match ends at the end of the text at the latest.
_QUOTED: Final = re.compile(
    r""""(?:[^"\\]|\\.)*(?:"|\\?$)|(?<!\w)'.*?(?:'(?!\w)|$)|`[^`]*(?:`|$)|“[^”]*(?:”|$)""",
    re.DOTALL,
)
_MARKED: Final = re.compile(b"\x01+")
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
        """The event as canonical JSON; the path and the body of the request that was rejected."""
        self._event = _parse(event)
        self._path = path
        self._request = _parse(request)
        fields = self._event if isinstance(self._event, dict) else {}
        self.event_type = _text(fields.get("type"))
        self.name = _name(fields)
        """A track event's name as it is; empty for any other event."""
        self.event_name = mask_emails(self.name)
        self._shown = {_text(fields.get("messageId")), self.name} - {""}
        self._values = _Values(
            {*_leaves(self._event), *_leaves(self._request)} - self._shown - {self.event_type}
        )

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
        """The request's body, its values replaced; empty if it is no JSON, as one that was cut,
        or nests too deep."""
        named = self._path.startswith("/api/v2/") or self._path.endswith("/events")
        body = self._request
        if isinstance(body, dict) and isinstance(body.get("batch"), list) and len(body) == 1:
            return _dump({"batch": [_mask(item, self._is_kind) for item in body["batch"]]})
        return _dump(_mask(body, self._is_kind if named else _is_hidden))

    def answer(self, body: bytes) -> bytes:
        """The body of an answer, its words masked; empty if it is not JSON within the bounds of an
        answer, or has too many words to search."""
        answer = parse(body)
        texts: list[str] = []

        def collect(text: str) -> str:
            texts.append(text)
            return text

        self._mask_answer(answer, "", collect)
        hidden = self._values.hide(texts)
        if answer is None or hidden is None:
            return b""
        # The second walk meets the texts in the order of the first.
        masked = iter(hidden)
        return _dump(self._mask_answer(answer, "", lambda _: _mask_marks(next(masked))))

    def words(self, text: str) -> str:
        """Words about the event, such as the reason of its rejection."""
        return _mask_words(text, self._values)

    def _is_kind(self, key: str, value: Any) -> bool:
        """Whether a value of an operation says only what else is shown."""
        if key in _KINDS:
            return isinstance(value, str) and value in _KINDS[key]
        return isinstance(value, str) and key in ("id", "name") and value in self._shown

    def _mask_answer(self, value: Any, key: str, words: Callable[[str], str]) -> Any:
        if isinstance(value, dict):
            return {
                words(name): self._mask_answer(inner, name, words) for name, inner in value.items()
            }
        if isinstance(value, list):
            return [self._mask_answer(inner, key, words) for inner in value]
        if isinstance(value, str) and key in _WORDS_KEYS:
            return words(value)
        if isinstance(value, int) and not isinstance(value, bool) and key in _NUMBER_KEYS:
            # Never a person's, though an event may well hold the same number.
            return value
        if _is_number(value) and key == "code" and str(value) not in self._values.all:
            return value
        return _mask_value(value)


class _Values:
    """The values of an event, to be hidden in words. The search ignores case."""

    def __init__(self, values: Iterable[str]) -> None:
        self.all = frozenset(values)
        """The values as they are, short ones included."""
        long_enough = [value for value in self.all if len(value) >= _FEWEST_CHARACTERS]
        self._too_many = len(long_enough) > _MOST_VALUES
        if self._too_many:
            long_enough = []
        escaped = [quote(value, safe="") for value in long_enough if len(value) <= _IN_PATH]
        self._folded = sorted({*map(_fold, long_enough), *map(_fold, escaped)})

    def hide(self, texts: Sequence[str]) -> list[str] | None:
        """Return the texts with TEXT in place of values; None beyond the bounds."""
        joined = _fold(_BETWEEN.join(texts))
        if self._too_many or len(joined) > _MOST_WORDS:
            return None
        marks = self._marks(joined)
        if marks is None:
            return None
        hidden = []
        start = 0
        for text in texts:
            hidden.append(_without_marked(text, marks[start : start + len(text)]))
            start += len(text) + len(_BETWEEN)
        return hidden

    def hide_one(self, text: str) -> str | None:
        """Return one text as hide() does."""
        hidden = self.hide([text])
        return hidden[0] if hidden else None

    def hide_cut(self, text: str) -> str | None:
        """Return a text that was cut as hide() does, without the start of a value at its end."""
        folded = _fold(text)
        end = len(text)
        for at in range(max(0, end - _CUT_CHARACTERS), end - _FEWEST_CHARACTERS + 1):
            # Of the values that start as the text ends the first would be here.
            place = bisect_left(self._folded, folded[at:])
            if any(value.startswith(folded[at:]) for value in self._folded[place : place + 1]):
                end = at
                break
        hidden = self.hide_one(text[:end])
        return hidden if hidden is None or end == len(text) else hidden + TEXT

    def _marks(self, folded: str) -> bytearray | None:
        """Mark the characters that are part of a value; None beyond the bounds."""
        pieces = {folded[at : at + _PIECE] for at in range(len(folded))}
        values = [value for value in self._folded if _may_hold(pieces, value)]
        if len(values) * len(folded) > _MOST_COMPARISONS:
            return None
        marks = bytearray(len(folded))
        found = 0
        for value in values:
            at = folded.find(value)
            while at >= 0:
                found += 1
                if found > _MOST_FOUND:
                    return None
                end = at + len(value)
                marks[at:end] = b"\x01" * len(value)
                at = folded.find(value, end)
        return marks


def mask_words(text: str, values: Iterable[str] = ()) -> str:
    """Words without email addresses, what stands in quotes, and any of these values.

    The status at the beginning (``HTTP 400: ``) stays.
    """
    return _mask_words(text, _Values(values))


def _mask_words(text: str, values: _Values) -> str:
    head = _HEAD.match(text)
    start = head.end() if head else 0
    words = text[start:]
    if not words:
        return text
    hidden = values.hide_cut(words) if len(text) >= _CUT_CHARACTERS else values.hide_one(words)
    return text[:start] + (TEXT if hidden is None else _mask_marks(hidden))


def _mask_marks(words: str) -> str:
    """Words without email addresses and what stands in quotes."""
    return _QUOTED.sub(f'"{TEXT}"', mask_emails(words))


def hide_words(text: str) -> str:
    """Words without anything but the status at the beginning."""
    head = _HEAD.match(text)
    return f"{head[0] if head else ''}{TEXT}"


def mask_emails(text: str) -> str:
    """Words without email addresses."""
    return _EMAILS.sub(_EMAIL, text) if "@" in text else text


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


def _may_hold(pieces: set[str], value: str) -> bool:
    """Whether a text of these pieces may hold a value; most values are ruled out at once."""
    return value[-_PIECE:] in pieces and all(
        value[at : at + _PIECE] in pieces for at in range(0, len(value) - _PIECE + 1, _PIECE)
    )


def _fold(text: str) -> str:
    """A text in lower case, each character in its place."""
    # These two are the exceptions: one becomes two characters, one depends on what follows.
    return text.replace("İ", "i").lower().replace("ς", "\u03c3")


def _without_marked(text: str, marks: bytearray) -> str:
    """A text with TEXT in place of each run of marked characters."""
    parts: list[str] = []
    start = 0
    for run in _MARKED.finditer(marks):
        parts += (text[start : run.start()], TEXT)
        start = run.end()
    parts.append(text[start:])
    return "".join(parts)


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
    pending = [value]
    while pending:
        inner = pending.pop()
        if isinstance(inner, dict):
            pending.extend(inner.values())
        elif isinstance(inner, list):
            pending.extend(inner)
        elif text := _text(inner):
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
    """A document as JSON; empty if there is none, or it nests deeper than can be encoded: a batch
    puts two levels around an event."""
    try:
        return b"" if document is None else orjson.dumps(document)
    except orjson.JSONEncodeError:
        return b""
