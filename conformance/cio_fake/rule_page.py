"""Writes `docs/fake-rules.md`: every rule that the fake holds, and what it says of a breach."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence

import orjson

from cio_fake.http_messages import Request, Response
from cio_fake.rule_catalogue import Rule, rules
from cio_fake.server import FakeCustomerIO

_SHOWN_PLACES = 3
_LONG = re.compile(r"(.)\1{39,}")
_HEAD = """\
# The rules of the fake

Made by `cio-conformance fake --rules` from `conformance/cio_fake/shapes.yaml`. Don't
edit it: a test compares the two.

Each row is proved by asking a fake, when this page is made and for every place again in
`tests/fake/test_rule_list.py`: a request that keeps the rule is taken, and the same with one change
is rejected, for that field and reason. The last two columns show the change, and the answer at the
first place. A rule that holds at several places, by the same source, has one row. Sources are
sections and fields of Customer.io's description of the Track API.

"""


def ask(rule: Rule, *, broken: bool) -> Response:
    """What a new fake answers to a request that keeps the rule, or that breaks it."""
    fake = FakeCustomerIO("site", "key")
    headers = {"authorization": f"Basic {b64encode(b'site:key').decode()}"}
    path, body = (rule.bad_path, rule.bad) if broken else (rule.path, rule.good)
    return fake.handle(Request(rule.method, path, headers, body), 0.0)


def complaints(response: Response) -> list[str]:
    """What an answer says is wrong, in one form for all endpoints: `field: message`."""
    body = orjson.loads(response.body)
    if "meta" in body:
        meta = body["meta"]
        return list(meta["errors"]) if "errors" in meta else [meta["error"]]
    return [
        f"{error['field']}: {error['message']}" if error["field"] else error["message"]
        for error in body["errors"]
    ]


def table() -> str:
    """The page, in Markdown."""
    rows: dict[tuple[str, str, str], list[Rule]] = {}
    for rule in rules():
        rows.setdefault((rule.field, rule.text, rule.source), []).append(rule)
    lines = [
        "| where | field | rule | source | broken by | the answer |",
        "|---|---|---|---|---|---|",
    ]
    for (field, text, source), places in rows.items():
        first = places[0]
        cells = (_where(places), _code(field), text, source, first.shown, _answer(first))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return f"{_HEAD}{len(rows)} rules:\n\n" + "\n".join(lines) + "\n"


def _answer(rule: Rule) -> str:
    response = ask(rule, broken=True)
    said = next(each for each in complaints(response) if concerns(each, rule))
    shown = _LONG.sub(r"\1…", said)
    return f"{response.status} {shown[:160]}"


def concerns(complaint: str, rule: Rule) -> bool:
    """Whether a complaint is about a rule's field, or a key within it, and says what it must."""
    return complaint.startswith(rule.field.strip("{}")) and rule.says in complaint


def _where(places: Sequence[Rule]) -> str:
    names = list(dict.fromkeys(rule.where for rule in places))
    more = len(names) - _SHOWN_PLACES
    shown = ", ".join(map(_code, names[:_SHOWN_PLACES]))
    return f"{shown} and {more} more" if more > 0 else shown


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
