"""The pages of docs/callers/ are true: their commands, their snippets, their facts."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from pathlib import Path

import grpc
import pytest
from cio.sidecar.v1 import event_pb2, ingest_pb2, ingest_pb2_grpc
from cio_conformance.run.caller import Caller
from cio_sidecar.rpc.server import MESSAGE_BYTES

from tests.clients.moody import Moody, failure, served
from tests.clients.support import CLIENTS, LANGUAGES, PATH, ROOT, driver
from tests.clients.test_clients import fake
from tests.conformance.support import need
from tests.delivery.process import sidecar
from tests.delivery.support import free_port

PAGES = ROOT / "docs" / "callers"
README = (PAGES / "README.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ULID = re.compile(r"\b01[0-9A-HJKMNP-TV-Z]{24}\b")


def blocks(page: str, kind: str) -> list[str]:
    text = (PAGES / page).read_text("utf-8")
    return [body for name, body in BLOCK.findall(text) if name == kind]


async def output_of(command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command),
        cwd=ROOT,
        env={**os.environ, "PATH": PATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return ULID.sub("<ulid>", output.decode())


@pytest.mark.parametrize("tool", ["buf", "grpcurl"])
async def test_calls_by_hand_answer_as_shown(tool: str, tmp_path: Path) -> None:
    if tool == "grpcurl":
        need(tool)
    (block,) = [
        each for each in blocks("README.md", "console") if f"{tool} " in each.split("-d")[0]
    ]
    command, *lines = block.splitlines()
    port = free_port()
    listen = f"127.0.0.1:{port}"
    with fake() as (_, url):
        async with sidecar(tmp_path, url, CIO_LISTEN=listen):
            with Caller(listen, timeout_seconds=10) as caller:
                await asyncio.to_thread(caller.wait_until_serving, 60, lambda: None)
            output = await output_of(command[2:].replace("50051", str(port)))
    expected = ULID.sub("<ulid>", "\n".join(lines).removesuffix("…"))
    assert output.startswith(expected), output


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.timeout(300)
async def test_the_page_of_a_language_shows_what_its_example_prints(
    language: str, tmp_path: Path
) -> None:
    driver(language)
    (block,) = blocks(f"{language}.md", "console")
    build, run, *lines = block.splitlines()
    assert build == f'$ PATH="$PWD/.venv/bin:$PATH" clients/{language}/build'
    assert run == f"$ CIO_TARGET=127.0.0.1:50051 clients/{language}/example"
    with fake() as (_, url):
        async with sidecar(tmp_path, url) as running:
            command = f"CIO_TARGET={running.target} clients/{language}/example"
            assert (await output_of(command)).splitlines() == lines


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_snippets_of_a_page_stand_in_the_code(language: str) -> None:
    sources = [
        file.read_text("utf-8")
        for file in (CLIENTS / language).rglob("*.*")
        if file.suffix in {".go", ".ts", ".java", ".rs"} and "node_modules" not in file.parts
    ]
    code = {line.strip() for source in sources for line in source.splitlines()}
    snippets = [
        body
        for name, body in BLOCK.findall((PAGES / f"{language}.md").read_text("utf-8"))
        if name != "console"
    ]
    assert snippets
    for line in "\n".join(snippets).splitlines():
        if line.strip() not in {"", "…"} and "/run/cio/" not in line:
            assert line.strip() in code


def service_config() -> str:
    (config,) = blocks("README.md", "json")
    return config


def test_the_service_config_retries_what_it_says() -> None:
    unavailable = failure(grpc.StatusCode.UNAVAILABLE)
    moody = Moody([unavailable, unavailable, failure(grpc.StatusCode.RESOURCE_EXHAUSTED)])
    options = [("grpc.service_config", service_config())]
    with served(moody) as address, grpc.insecure_channel(address, options=options) as channel:
        send = ingest_pb2_grpc.IngestServiceStub(channel).Send
        request = ingest_pb2.SendRequest(event=event_pb2.Event(message_id="m"))
        with pytest.raises(grpc.RpcError) as error:
            send(request)
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(moody.seen) == 3
        send(request)


def test_the_service_config_waits_for_a_sidecar_that_is_not_there_yet() -> None:
    options = [("grpc.service_config", service_config().replace("10s", "0.5s"))]
    with grpc.insecure_channel(f"127.0.0.1:{free_port()}", options=options) as channel:
        with pytest.raises(grpc.RpcError) as error:
            ingest_pb2_grpc.IngestServiceStub(channel).Send(ingest_pb2.SendRequest())
        assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("file", "literal"),
    [
        ("go/ingest/client.go", r"const serviceConfig = `(.*?)`"),
        ("java/src/main/java/com/example/caller/Client.java", r'SERVICE_CONFIG =\s+"""(.*?)"""'),
    ],
)
def test_a_caller_has_the_service_config_of_the_page(file: str, literal: str) -> None:
    (literal,) = re.findall(literal, (CLIENTS / file).read_text("utf-8"), re.DOTALL)
    assert json.loads(literal) == json.loads(service_config())


def test_the_page_names_the_largest_message() -> None:
    assert MESSAGE_BYTES == 16 * 1024 * 1024
    assert "A request may be 16 MiB" in README


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_a_page_that_the_others_lead_to(language: str) -> None:
    assert f"({language}.md)" in README
    assert (PAGES / f"{language}.md").is_file()


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / link).exists(), link
