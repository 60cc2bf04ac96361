"""Answers of any kind, from the outside: no answer hides other dead letters or stops delivery, and
the credentials that it echoes are never stored."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest
from cio.sidecar.v1 import delivery_pb2 as pb
from cio_fake import Request, Response
from cio_sidecar.app.config import Settings
from cio_sidecar.rpc import dead_letters
from cio_sidecar.rpc.masking import Masked
from pydantic import SecretStr

from tests.delivery.support import API_KEY, SITE_ID, Script
from tests.rpc.harness import Caller, calling, track


@pytest.fixture
def fake() -> Script:
    return Script()


@pytest.fixture
async def caller(make_settings: Callable[..., Settings], fake: Script) -> AsyncIterator[Caller]:
    settings = make_settings(site_id=SITE_ID, api_key=SecretStr(API_KEY))
    async with calling(settings, fake) as caller:
        yield caller


async def reasons(caller: Caller, *, reveal: bool = False) -> dict[str, str]:
    request = pb.ListDeadLettersRequest(reveal=reveal)
    letters = (await caller.delivery.ListDeadLetters(request)).dead_letters
    return {letter.message_id: letter.reason for letter in letters}


async def shown(caller: Caller, message_id: str, *, reveal: bool = False) -> pb.DeadLetterRecord:
    request = pb.GetDeadLetterRequest(message_id=message_id, reveal=reveal)
    return (await caller.delivery.GetDeadLetter(request)).record


async def exported(caller: Caller, *, reveal: bool = False) -> list[pb.DeadLetterRecord]:
    request = pb.ExportDeadLettersRequest(reveal=reveal)
    return [response.record async for response in caller.delivery.ExportDeadLetters(request)]


async def die(caller: Caller, fake: Script, answer: Response, message_id: str) -> None:
    fake.script = lambda _: answer
    await caller.send(track({"text": "secret-77"}, message_id=message_id, user_id="ann-77"))
    await caller.settled()


@pytest.mark.parametrize(
    "body",
    [
        b'{"errors":' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"errors":[' + b"[" * 900 + b"]" * 900 + b"]}",
        b'{"errors":[{"message":1e400}]}',
        b'{"errors":[{"batch_index":%s}]}' % (b"9" * 400),
        rb'{"errors":["\ud800"]}',
        b'{"errors":"text","errors":7}',
        b'{"errors":[' + b"{}," * 100_000 + b"{}]}",
        b'["\xff"]',
        b"NaN",
    ],
    ids=range(9),
)
async def test_an_odd_answer_rejects_its_event_and_hides_no_other_dead_letter(
    caller: Caller, fake: Script, body: bytes
) -> None:
    await die(caller, fake, Response(400, body), "odd")
    await die(caller, fake, Response(400, b'{"meta":{"error":"bad thing"}}'), "plain")
    assert (await reasons(caller))["plain"] == "HTTP 400: bad thing"
    assert (await shown(caller, "odd")).dead_letter.status == 400
    assert (await shown(caller, "odd", reveal=True)).response == body[: 64 * 1024]
    assert len(await exported(caller)) == 2


async def test_a_207_with_many_errors_of_one_event_is_rejected_once(
    caller: Caller, fake: Script
) -> None:
    body = orjson.dumps({"errors": [{"batch_index": 0, "message": "m" * 10}] * 15_000})
    await die(caller, fake, Response(207, body), "m1")
    assert len((await reasons(caller))["m1"]) == 1000


async def test_a_dead_letter_that_can_not_be_masked_is_hidden_and_the_others_are_shown(
    caller: Caller, fake: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    for message_id in ("m1", "m2", "m3"):
        await die(caller, fake, Response(400, b'{"meta":{"error":"no secret-77"}}'), message_id)

    class Failing(Masked):
        def __init__(self, event: bytes, path: str, request: bytes) -> None:
            if b'"m2"' in event:
                raise RecursionError("secret-77")
            super().__init__(event, path, request)

    monkeypatch.setattr(dead_letters, "Masked", Failing)
    assert await reasons(caller) == {
        "m1": "HTTP 400: no <text>",
        "m2": dead_letters.HIDDEN,
        "m3": "HTTP 400: no <text>",
    }
    for record in (await shown(caller, "m2"), (await exported(caller))[1]):
        assert record.dead_letter.message_id == "m2"
        assert b"secret-77" not in record.SerializeToString()
    assert (await reasons(caller, reveal=True))["m2"] == "HTTP 400: no secret-77"
    assert b"secret-77" in (await shown(caller, "m2", reveal=True)).event


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", ["a", '"', "a@"])
async def test_a_dead_letter_with_a_long_key_is_shown(
    caller: Caller, fake: Script, unit: str
) -> None:
    key = (unit * 45_000)[:45_000]
    fake.script = lambda _: Response(400, orjson.dumps({"errors": [{"message": key}]}))
    await caller.send(track({key: "secret-77"}, message_id="m1"))
    await caller.settled()
    assert b"secret-77" not in (await shown(caller, "m1")).SerializeToString()


@pytest.mark.parametrize(
    ("size", "reason"), [(10, "HTTP 400: no <text> here"), (90_000, "HTTP 400: <text>")]
)
async def test_a_watcher_sees_no_value_of_an_event_of_any_size(
    caller: Caller, fake: Script, size: int, reason: str
) -> None:
    watch = caller.delivery.WatchOutcomes(pb.WatchOutcomesRequest())
    await watch.wait_for_connection()
    fake.script = lambda _: Response(400, b'{"meta":{"error":"no secret-77 here"}}')
    await caller.send(track({"text": "secret-77", "more": "x" * size}, message_id="m1"))
    told = await watch.read()
    assert isinstance(told, pb.WatchOutcomesResponse)
    assert [outcome.reason for outcome in told.outcomes] == [reason]


def echo(status: int) -> Callable[[Request], Response]:
    """Answers that hold the Authorization header, as it came and across the cut."""

    def answer(request: Request) -> Response:
        header = request.headers["authorization"]
        error = {"batch_index": 0, "message": f"got Authorization: {header}", "field": header}
        words: dict[str, Any] = {"errors": [error], "filler": "x" * (64 * 1024 - 150) + header * 9}
        return Response(status, orjson.dumps(words))

    return answer


@pytest.mark.parametrize("status", [207, 400, 401, 403, 413, 422, 500])
async def test_echoed_credentials_are_neither_stored_nor_shown(
    caller: Caller, fake: Script, status: int
) -> None:
    watch = caller.delivery.WatchOutcomes(pb.WatchOutcomesRequest(reveal=True))
    await watch.wait_for_connection()
    fake.script = echo(status)
    await caller.send(track(message_id="m1"))
    told: list[bytes] = []
    if status in (207, 400, 413, 422):
        await caller.settled()
        told += [record.SerializeToString() for record in await exported(caller, reveal=True)]
        assert told
        told += [(await shown(caller, "m1", reveal=True)).SerializeToString()]
        told += [repr(await reasons(caller, reveal=True)).encode()]
        told += [repr(await watch.read()).encode()]
    else:
        async with asyncio.timeout(20):
            while not any(ask.path == "/api/v2/batch" for _, ask in fake.asked):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    told += [(await caller.delivery.GetStats(pb.GetStatsRequest())).SerializeToString()]
    (token,) = {ask.headers["authorization"].split()[1].encode() for _, ask in fake.asked}
    for text in told:
        assert token[:10] not in text
        assert API_KEY.encode() not in text
