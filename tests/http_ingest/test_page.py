"""What docs/http-ingest.md shows is true."""

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.http_ingest.support import HttpCaller
from tests.http_ingest.test_sdks import NODE, install

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "http-ingest.md").read_text("utf-8")


def block(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


def run(*command: str, folder: Path = ROOT) -> str:
    result = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def here(text: str, http_api: HttpCaller) -> str:
    assert "http://127.0.0.1:8088" in text
    return text.replace("http://127.0.0.1:8088", http_api.url)


async def test_the_sample_in_python_delivers(http_api: HttpCaller) -> None:
    await asyncio.to_thread(run, sys.executable, "-c", here(block("python"), http_api))
    assert (await http_api.grpc.delivered_one())["name"] == "Order Completed"


async def test_the_sample_for_node_delivers(http_api: HttpCaller) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    await asyncio.to_thread(install)
    code = here(block("js"), http_api)
    await asyncio.to_thread(run, "node", "--input-type=module", "-e", code, folder=NODE)
    assert (await http_api.grpc.delivered_one())["name"] == "Order Completed"


async def test_the_sample_with_curl_answers_as_shown(http_api: HttpCaller) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (found,) = re.findall(r"^\$ (curl .*)\n(.*)\n```$", PAGE, re.MULTILINE)
    command, shown = found
    answer = await asyncio.to_thread(
        run, "bash", "-c", here(command.replace("-u", "-s -u"), http_api)
    )
    assert answer == shown
    await http_api.grpc.delivered(1)


def test_every_code_of_an_answer_is_in_the_page() -> None:
    folder = ROOT / "server" / "cio_sidecar" / "http_ingest"
    source = "".join(file.read_text("utf-8") for file in folder.glob("*.py"))
    made = {*re.findall(r'RequestError\(\s*(?:\d+|error\.status), "([A-Z_]+)"', source)}
    assert len(made) >= 10
    rows = "".join(re.findall(r"^\| \d.*\|$", PAGE, re.MULTILINE))
    assert {*re.findall(r"`([A-Z_]+)`", rows)} >= made
