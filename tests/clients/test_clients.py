"""Every caller of clients/: the same events come to the same, whatever the language."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import grpc
import pytest
import trustme
from cio_conformance.drivers import Call
from cio_conformance.drivers.process import Driver
from cio_conformance.run.credentials import Credentials
from cio_conformance.run.sidecars import hosted_fake
from cio_fake import FakeCustomerIO, Received
from google.rpc import error_details_pb2
from ulid import ULID

from tests.clients.moody import Moody, failure, retry_info, served
from tests.clients.support import CLIENTS, LANGUAGES, driver, drivers
from tests.conformance.support import invoke
from tests.delivery.process import sidecar
from tests.delivery.support import API_KEY, SITE_ID, free_port

CALLS = get_args(Call)
SECONDS = 60
"""How long a receipt may take."""

any_language = pytest.mark.parametrize("language", LANGUAGES)
any_call = pytest.mark.parametrize("call", CALLS)


@contextmanager
def fake() -> Iterator[tuple[FakeCustomerIO, str]]:
    def ignore(_: Received) -> None:
        pass

    with hosted_fake(Credentials(SITE_ID, API_KEY), ignore) as (customer_io, url):
        yield customer_io, url


def line(**event: Any) -> bytes:
    return json.dumps({"type": "track", "userId": "ann", "event": "Paid", **event}).encode() + b"\n"


def failures(output: str) -> str:
    lines = output.splitlines()
    return "\n".join(line for line in lines if not line.startswith("skipped "))[:5000]


@pytest.mark.timeout(900)
def test_every_case_comes_out_the_same_in_every_language_and_by_both_routes() -> None:
    vias = [option for command in drivers() for option in ("--via", *command)]
    if not vias:
        pytest.skip("no caller's tools are installed")
    result = invoke(*vias, "--patience", "60")
    assert result.exit_code == 0, failures(result.output)
    assert ", 0 failed, " in result.output.splitlines()[-1]


@any_language
@pytest.mark.timeout(600)
def test_a_batch_and_a_stream_come_to_the_same_as_single_calls(language: str) -> None:
    calls = ("--via-call", "batch", "--via-call", "stream")
    narrow = ("--profile", "documented", "--api", "auto", "--filter", "^(?!settings)")
    result = invoke("--via", *driver(language), *calls, *narrow, "--patience", "60")
    assert result.exit_code == 0, failures(result.output)


@any_language
@pytest.mark.timeout(300)
@pytest.mark.parametrize("transport", ["tcp", "unix", "tls", "tls on a unix socket"])
async def test_the_example_shows_every_way_of_calling(
    language: str, transport: str, tmp_path: Path
) -> None:
    driver(language)
    settings, told = {}, {}
    if transport.startswith("tls"):
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
        for part in certificate.cert_chain_pems:
            part.write_to_path(tmp_path / "cert.pem", append=True)
        settings = {
            "CIO_TLS_CERT_FILE": str(tmp_path / "cert.pem"),
            "CIO_TLS_KEY_FILE": str(tmp_path / "key.pem"),
        }
        told = {"CIO_TLS_CA_FILE": str(tmp_path / "ca.pem")}
    if "unix" not in transport:
        settings["CIO_LISTEN"] = f"127.0.0.1:{free_port()}"
    with fake() as (_, url):
        async with sidecar(tmp_path, url, **settings) as running:
            target = settings.get("CIO_LISTEN", running.target)
            shown = await asyncio.create_subprocess_exec(
                CLIENTS / language / "example",
                env={"PATH": os.environ["PATH"], "CIO_TARGET": target, **told},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            output, errors = await shown.communicate()
    assert shown.returncode == 0, errors.decode()
    lines = output.decode().splitlines()
    assert lines[0] == "one: EVENT_STATUS_ACCEPTED"
    assert set(lines[1:-2]) == {"batch: EVENT_STATUS_ACCEPTED"}
    assert lines[-2:] == ["rejected: userId NO_PERSON", "stream: 100 acked"]


@any_language
@any_call
@pytest.mark.timeout(300)
def test_a_sidecar_that_is_away_or_stops_or_is_full_for_a_while_is_tried_again(
    language: str, call: Call
) -> None:
    unavailable = failure(grpc.StatusCode.UNAVAILABLE)
    full = failure(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_info(30))
    cancelled = failure(grpc.StatusCode.CANCELLED)
    moody = Moody([unavailable, full, cancelled, full])
    events = [line(messageId=f"m{number}") for number in range(5)]
    with served(moody) as address, Driver(driver(language), address, call) as running:
        answers = running.send(events, SECONDS)
    assert [answer.status for answer in answers] == ["ACCEPTED"] * 5
    assert moody.moods == []
    if call == "stream":
        # What was acked is not sent again, and what was not keeps its order.
        tries = [["m0", "m1"], ["m1", "m2"], ["m2", "m3"], ["m3", "m4"], ["m4"]]
        assert moody.seen == tries


@any_language
@any_call
@pytest.mark.timeout(300)
def test_what_would_only_fail_again_is_not_tried_again(language: str, call: Call) -> None:
    # Without a RetryInfo RESOURCE_EXHAUSTED says that the message is too large.
    moody = Moody([failure(grpc.StatusCode.RESOURCE_EXHAUSTED)])
    with served(moody) as address, Driver(driver(language), address, call) as running:
        running.give([line(messageId="m1")])
        if call == "stream":
            # The mood comes with the second message, and ends the stream.
            running.give([line(messageId="m2")])
            running.receipt(SECONDS)
            assert running.close() == 1
            return
        receipt = json.loads(running.receipt(SECONDS))
    assert receipt["status"] == "failed"
    assert (receipt["code"], receipt["message"]) == ("RESOURCE_EXHAUSTED", "as told")
    assert moody.seen == [["m1"]]


@any_language
@pytest.mark.timeout(300)
def test_what_is_wrong_with_an_event_is_read_from_the_details(language: str) -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(
        field="properties.é", reason="TOO_LARGE", description="too large: é"
    )
    bad = error_details_pb2.BadRequest(field_violations=[violation])
    info = error_details_pb2.ErrorInfo(reason="EVENT_REJECTED", domain="cio-sidecar")
    moody = Moody([failure(grpc.StatusCode.INVALID_ARGUMENT, info, bad)])
    with served(moody) as address, Driver(driver(language), address) as running:
        (answer,) = running.send([line(messageId="m1")], SECONDS)
    assert answer.violations == [("properties.é", "TOO_LARGE", "too large: é")]
    assert moody.seen == [["m1"]]


@any_language
@any_call
@pytest.mark.timeout(300)
def test_an_event_without_an_id_gets_one(language: str, call: Call) -> None:
    moody = Moody([])
    with served(moody) as address, Driver(driver(language), address, call) as running:
        running.give([line()])
        receipt = json.loads(running.receipt(SECONDS))
    assert [[receipt["message_id"]]] == moody.seen
    ULID.from_str(receipt["message_id"])


@any_language
@any_call
@pytest.mark.timeout(300)
def test_a_driver_ends_with_its_input_and_says_what_is_no_event(language: str, call: Call) -> None:
    moody = Moody([])
    with served(moody) as address:
        with Driver(driver(language), address, call) as running:
            running.give([line(messageId="m1")])
            running.receipt(SECONDS)
            assert running.close() == 0
        with Driver(driver(language), address, call) as running:
            running.give([b"no event\n"])
            assert running.close() == 1
            assert "it said:\n  nothing" not in running.account("ended")
