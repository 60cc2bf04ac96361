"""An answer's body is parsed within bounds, and whatever it holds is no error."""

import orjson
import pytest
from cio_sidecar.customerio.answer_body import BODY_BYTES, DEPTH, VALUES, parse
from cio_sidecar.customerio.answers import Answer, parts, reason, rejections


def nested(depth: int) -> bytes:
    return b'{"errors":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_parse_returns_the_value_within_the_bounds() -> None:
    assert parse(b'{"errors":[]}') == {"errors": []}
    assert parse(nested(DEPTH)) is not None
    assert parse(b"[" + b"0," * (VALUES - 2) + b"0]") is not None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"errors":NaN}',
        rb'{"errors":["\ud800"]}',
        b"\xff",
        nested(DEPTH + 1),
        nested(300),
        nested(1500),
        b"[" * 500_000,
        b"[" + b"0," * VALUES + b"0]",
        b"[" + b"{}," * VALUES + b"{}]",
        b'"' + b"x" * BODY_BYTES + b'"',
    ],
    ids=lambda body: f"{body[:12]!r}_{len(body)}",
)
def test_parse_returns_none_beyond_the_bounds(body: bytes) -> None:
    assert parse(body) is None
    answer = Answer(207, body)
    assert reason(answer) == "HTTP 207"
    assert rejections(answer, 2) is None


@pytest.mark.parametrize(
    "error",
    [
        b"null",
        b"1e308",
        b"1" * 400,
        b'{"batch_index":1e400}',
        b'{"batch_index":0,"field":{"a":[1]},"message":[[2]]}',
        b'{"batch_index":0,"batch_index":1,"message":"m","message":null}',
        b'[["deep"]]',
    ],
)
def test_any_error_of_an_answer_has_words(error: bytes) -> None:
    body = b'{"errors":[%s]}' % error
    assert reason(Answer(400, body)).startswith("HTTP 400")
    rejections(Answer(207, body), 3)


@pytest.mark.timeout(20)
def test_the_reasons_of_a_207_with_many_errors_are_bounded() -> None:
    errors = [{"batch_index": 0, "message": "m" * 20, "field": "f"}] * 15_000
    answer = Answer(207, orjson.dumps({"errors": errors}))
    assert [len(why) for why in (rejections(answer, 2) or {}).values()] == [1000]
    assert [*parts(answer, 2)] == [0]
    assert [len(why) for why in (rejections(answer, 1) or {}).values()] == [1000]
