"""CEL expressions over ``event``: checked when they are compiled, bounded when they run. PURE.

CEL has no loops but its macros over lists and objects, and the runtime bounds their iterations. It
does not bound what they allocate: Expression does, by what an event's size allows.
"""

import math
import re
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from typing import Any, Final

import orjson
from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_strings

from cio_sidecar.mapping.event import ROOTS, Event
from cio_sidecar.mapping.running.transforms import ABSENT, TRANSFORMS, NoValue

MAX_CHARACTERS: Final = 4_000
"""How long an expression may be."""
_MOST_COST: Final = 128 * 1024 * 1024
"""Bytes that an expression may allocate for one event, and steps that its patterns may take, as
estimated before it runs."""
_MOST_EVENT: Final = 512 * 1024
"""How large an event may be, as JSON in bytes; for what touches single scalars it is any size."""
_MOST_ITERATIONS: Final = 10_000
"""The runtime's own bound for all macros of an expression together."""
_MOST_NODES: Final = 10_000
_SPLIT_COST: Final = 1024
"""How much costlier each byte is that split() may make a value of."""
_MOST_TEXT: Final = 256 * 1024
"""What a result may hold: values, and characters."""

_MACRO: Final = re.compile(r"\.\s*(?:map|filter|exists|exists_one|all)\s*\(")
_LITERAL: Final = re.compile(
    r"""//[^\n]*|\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'""", re.DOTALL
)
_GROWS: Final = re.compile(r"\.\s*(?:replace|join)\s*\(")
_GROWS_BY_LITERALS: Final = re.compile(
    r"\.\s*(?:replace\s*\(\s*\"\"\s*,\s*\"\"|join\s*\((?:\s*\"\")?\s*\))"
)
_MATCHES: Final = re.compile(r"\bmatches\s*\(")
_MATCHES_LITERAL: Final = re.compile(r"\.\s*matches\s*\(\s*[rR]?\"\"\s*\)")
_REPEATED: Final = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_EVENT: Final = re.compile(r"\bevent\b")
_PATH: Final = re.compile(r"\bevent((?:\.[A-Za-z_]\w*)+)(?!\w*\s*\()")
_WHY: Final = "\x1f"
_ERROR: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'")
_CODE: Final = re.compile(r"\s*\[[A-Z_]+\]$")
_NO_KEY: Final = re.compile(r'Key not found in map : "(.*)"')
_STATUS: Final = re.compile(r"^[A-Z_]+: ")
_MOST_ERRORS: Final = 5
_ERROR_CHARACTERS: Final = 500
"""How many errors of an expression are shown, and how many characters of them."""
_NO_JSON: Final = ("BYTES", "TIMESTAMP", "DURATION", "TYPE")

TYPES: Final = {
    "person": ("STRING",),
    "id": ("STRING",),
    "text": ("STRING",),
    "seconds": ("INT", "UINT"),
    "scalar": ("STRING", "INT", "UINT"),
    "object": ("MAP",),
    "texts": ("MAP",),
    "attributes": ("MAP",),
}
"""What CEL types fit an operation's key of a type."""


class ExpressionError(Exception):
    """The expression can't be used; ``str()`` says where in it, and why."""


class Expression:
    """A compiled expression."""

    def __init__(self, source: str) -> None:
        """Compile and type-check. Raises ExpressionError."""
        if len(source) > MAX_CHARACTERS:
            raise ExpressionError(
                f"{len(source):,} characters, the limit is {MAX_CHARACTERS:,}: "
                "split it into rows, or prepare the value in your service"
            )
        try:
            self._compiled = _environment().compile(source)
        except RuntimeError as error:
            raise ExpressionError(_explain(str(error), source)) from None
        self.type: str = self._compiled.return_type().name().partition("<")[0]
        """CEL's name of the type of the result: STRING, MAP, … or DYN, where only a run tells."""
        if self.type in _NO_JSON:
            raise ExpressionError(
                f"gives a {self.type.lower()}, which JSON has no place for: "
                "make it text with string(), or a number with int()"
            )
        bare = _LITERAL.sub(lambda found: "" if found[0].startswith("//") else '""', source)
        literals = [text for text in _LITERAL.findall(source) if not text.startswith("//")]
        self._additions = bare.count("+") + sum(text.count("%") for text in literals)
        self._macros = len(_MACRO.findall(bare))
        by_literals = len(_GROWS_BY_LITERALS.findall(bare))
        self._growths = len(_GROWS.findall(bare)) - by_literals
        # JSON within JSON doubles its backslashes.
        self._growth = max(map(len, literals), default=1) ** by_literals * 2 ** bare.count(
            "text_values"
        )
        self._splits = "split" in bare
        matches = len(_MATCHES.findall(bare))
        if matches != len(_MATCHES_LITERAL.findall(bare)):
            raise ExpressionError(
                'the pattern of matches must stand there as text: event.name.matches("^A")'
            )
        self._patterns = sum(map(_pattern_cost, literals)) if matches else 0
        self._is_cheap = self._growth == 1 and not (
            self._additions or self._macros or self._growths or self._patterns or self._splits
        )
        self._length = len(source)
        if not self._is_cheap and self._cost({}) > _MOST_COST:
            raise ExpressionError("may take too much memory, whatever the event: make it simpler")
        try:
            # Some limits hold only when the expression is planned, which its first run does.
            self._compiled.eval(data={"event": {}})
        except RuntimeError as error:
            raise ExpressionError(_explain(str(error), source)) from None
        paths = [match[1:] for match in _PATH.findall(bare)]
        self.paths: tuple[str, ...] = tuple(dict.fromkeys(paths))
        """The paths of the event that the expression speaks of."""
        reads_paths_only = len(paths) == len(_EVENT.findall(bare))
        self._read = tuple(tuple(path.split(".")) for path in self.paths)
        if not reads_paths_only:
            self._read = ()

    def __call__(self, event: Event) -> Any:
        """The value for an event; NoValue, with the reason, where it has none."""
        if not self._is_cheap and self._cost(event) > _MOST_COST:
            return NoValue("the event is too large for this expression")
        try:
            # CEL converts all that it is passed, whatever the expression reads of it.
            read = _at(self._read, event) if self._read else event
            value = self._compiled.eval(data={"event": read})
            kind = value.type().name().partition("<")[0]
            if kind == "ERROR":
                return self._no_value(str(value.plain_value()))
            if kind in _NO_JSON:
                return NoValue(f"gives a {kind.lower()}, which JSON has no place for")
            if kind in ("LIST", "MAP") and len(orjson.dumps(event)) > _MOST_EVENT:
                return NoValue("the event is too large for this expression")
            return _Budget().plain(value)
        except _TooMuch as error:
            return NoValue(str(error))
        except RuntimeError as error:
            return self._no_value(str(error))

    def _no_value(self, error: str) -> NoValue:
        _, found, why = error.partition(_WHY)
        if found:
            return NoValue(why) if why else ABSENT
        if missing := _NO_KEY.search(error):
            what = f"the expression found no key {missing[1]!r}; use has(…) if it may be missing"
            return NoValue(what)
        if "budget exceeded" in error.lower():
            return NoValue(f"the expression takes more than {_MOST_ITERATIONS:,} steps")
        return NoValue(f"the expression has no value: {_STATUS.sub('', error)[:200]}")

    def _cost(self, event: Event) -> int:
        """What it may allocate at worst, in bytes, or take in steps of patterns: each addition
        copies, replace and join put text into text as often as that is long, and each iteration
        does all of it again.
        """
        try:
            encoded = orjson.dumps(event)
        except TypeError:
            return _MOST_COST + 1
        if len(encoded) > _MOST_EVENT:
            return _MOST_COST + 1
        size = len(encoded) + self._length
        iterations = 1
        if self._macros:
            # No list or object has more members than there are commas, and one; but split() may
            # make one of every character.
            members = self._length + (size if self._splits else encoded.count(b",") + 1)
            iterations = min(_MOST_ITERATIONS, members**self._macros)
        grown = size ** (1 + self._growths) * self._growth
        split = _SPLIT_COST * size if self._splits else 0
        work = max((1 + self._additions) ** 2 * grown, self._patterns * size, split)
        return int(iterations * work)


def _at(paths: Iterable[tuple[str, ...]], event: Event) -> Event:
    """What an event has at the paths; the objects on the way there hold nothing else."""
    found: Event = {}
    for path in paths:
        source, target = event, found
        for key in path[:-1]:
            inner = source.get(key)
            if inner.__class__ is not dict or (key in target and target[key] is inner):
                break
            source, target = inner, target.setdefault(key, {})
        else:
            key = path[-1]
        if key in source:
            target[key] = source[key]
    return found


@lru_cache(maxsize=1024)
def compiled(source: str) -> Expression:
    """An expression that was compiled before: that takes a millisecond. Raises ExpressionError."""
    return Expression(source)


class _TooMuch(Exception):  # noqa: N818 (named for the condition)
    """A result is larger than one may be."""


class _Budget:
    """Turns a result into JSON values, up to a size."""

    def __init__(self) -> None:
        self._nodes = _MOST_NODES
        self._text = _MOST_TEXT

    def plain(self, value: Any) -> Any:
        """Raises _TooMuch."""
        self._nodes -= 1
        if self._nodes < 0:
            raise _TooMuch(f"the expression gives more than {_MOST_NODES:,} values")
        kind = value.type().name().partition("<")[0]
        if kind == "LIST":
            return [self.plain(item) for item in value.value()]
        if kind == "MAP":
            members = {self._key(key): item for key, item in value.value().items()}
            # CEL knows no order of keys.
            return {key: self.plain(members[key]) for key in sorted(members)}
        if kind in _NO_JSON:
            raise _TooMuch(f"the expression gives a {kind.lower()}, which JSON has no place for")
        plain = value.plain_value()
        if kind == "ERROR":
            raise _TooMuch(f"the expression has no value: {_STATUS.sub('', str(plain))[:200]}")
        self._spend(plain)
        return plain

    def _key(self, key: Any) -> str:
        if not isinstance(key, str):
            raise _TooMuch("the expression gives an object with a key that is not text")
        self._spend(key)
        return key

    def _spend(self, value: Any) -> None:
        if isinstance(value, float) and not math.isfinite(value):
            raise _TooMuch(f"the expression gives {value}, which JSON has no place for")
        if isinstance(value, str):
            self._text -= len(value)
            if self._text < 0:
                raise _TooMuch(f"the expression gives more than {_MOST_TEXT:,} characters")
            if "\0" in value:
                raise _TooMuch("the expression gives text with a null byte (U+0000)")


@cache
def _environment() -> Any:
    kinds = {
        "string": cel.Type.STRING,
        "int": cel.Type.INT,
        "uint": cel.Type.UINT,
        "double": cel.Type.DOUBLE,
        "bool": cel.Type.BOOL,
        "null": cel.Type.NULL,
        "list": cel.Type.List(cel.Type.DYN),
        "map": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    }
    functions = [
        cel.FunctionDecl(
            name,
            [
                cel.Overload(f"{name}_{kind}", cel.Type.DYN, [type_], False, _function(transform))
                for kind, type_ in kinds.items()
            ],
        )
        for name, transform in TRANSFORMS.items()
    ]
    return cel.NewEnv(
        variables={"event": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)},
        functions=functions,
        extensions=[ext_strings.ExtStrings(), ext_math.ExtMath()],
    )


def _function(transform: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A transform as a function of CEL: no value is an error, as a missing key is."""

    def call(value: Any) -> Any:
        result = transform(_ordered(value))
        if isinstance(result, NoValue):
            raise ValueError(_WHY + (result.why or ""))  # noqa: TRY004 (becomes CEL's error)
        return result

    return call


def _pattern_cost(pattern: str) -> int:
    """Steps that a pattern may take for a byte of text: its length, repetitions written out."""
    cost = len(pattern)
    for least, most in _REPEATED.findall(pattern):
        cost *= max(1, int(most or least))
    return cost


def _ordered(value: Any) -> Any:
    """A value with the keys of its objects in order: CEL gives them in any."""
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    return [_ordered(item) for item in value] if isinstance(value, list) else value


def _hint(name: str, source: str) -> str:
    """What to write in place of a name that there is not."""
    if re.search(rf"\b{re.escape(name)}\s*\(", source):
        return ""
    if name.partition(".")[0] in ROOTS:
        return f": write event.{name}"
    return ": the only variable is event, as in event.userId or event.properties.total"


def _explain(error: str, source: str) -> str:
    """What the runtime says of an expression, in our own form: the first mistakes, with column."""
    found: Iterable[tuple[str, str, str]] = _ERROR.findall(error)
    told: list[str] = []
    for line, column, what in found:
        words = _CODE.sub("", what)
        if named := _UNDECLARED.match(words):
            words = f"undeclared reference to {named[1]!r}{_hint(named[1], source)}"
        if int(column) > 0:
            place = f"line {line}, " if int(line) > 1 else ""
            words = f"at {place}character {column}: {words}"
        told.append(words)
    return (
        "; ".join([*dict.fromkeys(told)][:_MOST_ERRORS])[:_ERROR_CHARACTERS]
        or _CODE.sub("", _STATUS.sub("", error))
        or error
    )
