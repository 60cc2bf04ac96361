"""The mistakes of a case file in words: file, line, case, what was expected, what came."""

import difflib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar, get_args

from cio_sidecar.yaml_lines import Document, Location
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails

_Model = TypeVar("_Model", bound=BaseModel)
_EXPECTED: Final = {
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "too_short": "at least one entry",
    "dict_type": "an object",
    "model_type": "an object",
}
"""What pydantic's kinds of mistakes expected, in the words of JSON."""


Mistake = tuple[Location, str]
"""Where something stands in a document, and what is wrong with it."""


def described(mistakes: Iterable[Mistake], document: Document, file: str) -> str:
    """Each mistake on a line of its own, in the order of the document's lines."""
    in_order = sorted(mistakes, key=lambda mistake: document.line(mistake[0]))
    return "\n".join(f"{_place(document, at, file)}{words}" for at, words in in_order)


def found(error: ValidationError, model: type[BaseModel], document: Document) -> list[Mistake]:
    """The mistakes that a model found in a document.

    ``model`` is that of the whole document, or of each entry where the document is a list.
    """
    if document.value is None and all(not detail["loc"] for detail in error.errors()):
        keys = ", ".join(model.model_fields)
        return [((), f"expected an object with the keys {keys}, but the file is empty")]
    return [(detail["loc"], _problem(detail, model)) for detail in error.errors()]


def checked(value: Any, handler: Callable[[Any], _Model], mistakes: Iterable[Mistake]) -> _Model:
    """What a validator makes of a value; in a validator that wraps it.

    Raises ValidationError with what it finds and, beside that, the mistakes given: a validator that
    comes after it would be heard only where it finds nothing.
    """
    details: list[InitErrorDetails] = []
    try:
        model = handler(value)
    except ValidationError as error:
        details += [
            InitErrorDetails(
                type=detail["type"],
                loc=detail["loc"],
                input=detail["input"],
                ctx=detail.get("ctx", {}),
            )
            for detail in error.errors()
        ]
    details += [
        InitErrorDetails(type="value_error", loc=at, input=value, ctx={"error": words})
        for at, words in mistakes
    ]
    if details:
        raise ValidationError.from_exception_data("", details)
    return model


def twins(document: Document) -> list[Mistake]:
    """The cases of a document that have the name of one before."""
    lines: dict[str, int] = {}
    mistakes: list[Mistake] = []
    for index, case in enumerate(entries(document.value, "cases")):
        if not (name := _text_of(case, "name")):
            continue
        line = document.line(("cases", index))
        if name in lines:
            words = f"line {lines[name]} has a case of this name already; rename one"
            mistakes.append((("cases", index), words))
        lines.setdefault(name, line)
    return mistakes


def entries(value: Any, key: str) -> list[Any]:
    """What stands in the list at an object's key; nothing where there is no such list."""
    listed = value.get(key) if isinstance(value, dict) else None
    return listed if isinstance(listed, list) else []


def _place(document: Document, at: Location, file: str) -> str:
    """Where something stands, to be followed by what is wrong: ``f.yaml:3: case 'a': event: ``."""
    # pydantic marks an object's key as such.
    where = [str(part) for part in at if part != "[key]"]
    match at:
        case ("cases", int(index), *rest):
            if (name := _text_of(document.value["cases"][index], "name")) and rest != ["name"]:
                where = [f"case {name!r}", ".".join(where[2:])]
        case (int(index), *rest):
            if (rule := _text_of(document.value[index], "rule")) and rest != ["rule"]:
                where = [f"rule {rule!r}", ".".join(where[1:])]
    if where and not where[0].startswith(("case ", "rule ")):
        where = [".".join(where)]
    return "".join(f"{part}: " for part in (f"{file}:{document.line(at)}", *filter(None, where)))


def _text_of(value: Any, key: str) -> str:
    text = value.get(key) if isinstance(value, dict) else None
    return text if isinstance(text, str) else ""


def _problem(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, came = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return _no_such_key(detail["loc"], model)
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    expected = _EXPECTED.get(kind)
    if kind == "literal_error":
        expected = detail["ctx"]["expected"].replace("'", "")
    if expected is None:
        return f"{detail['msg'][0].lower()}{detail['msg'][1:]}, got {shown(came)}"
    return f"expected {expected}, got {shown(came)}"


def shown(value: Any) -> str:
    """A value as a file could have it, cut short."""
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _no_such_key(at: tuple[int | str, ...], model: type[BaseModel]) -> str:
    *around, wrong = at
    known: type[BaseModel] | None = model
    for part in around:
        if isinstance(part, str) and known:
            known = next(_models(known.model_fields[part].annotation), None)
    names = [*known.model_fields] if known else []
    near = difflib.get_close_matches(str(wrong), names, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
    return f"there is no such key; {hint}"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation such as ``list[Case] | None`` holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
