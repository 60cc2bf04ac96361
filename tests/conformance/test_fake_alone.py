from __future__ import annotations

import subprocess
import sys
import urllib.request
from base64 import b64encode

from cio_fake import Received, Request, Response
from cio_fake.serve import line


def test_the_command_prints_each_request_and_stops_at_sigterm() -> None:
    command = [sys.executable, "-c", "from cio_conformance.cli import main; main()", "fake"]
    arguments = ["--listen", "127.0.0.1:0", "--site-id", "s", "--api-key", "k"]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().split()[2].rstrip(";")
        request = urllib.request.Request(
            f"{url}/api/v1/customers/u",
            b'{"plan":"pro"}',
            {"Authorization": f"Basic {b64encode(b's:k').decode()}"},
            method="PUT",
        )
        with urllib.request.urlopen(request) as response:
            assert response.status == 200
        assert process.stdout.readline() == 'PUT /api/v1/customers/u 200 {"plan":"pro"}\n'
        process.terminate()
        assert process.wait(30) == 0


def test_a_long_body_is_cut_and_control_characters_are_not_printed() -> None:
    received = Received(Request("PUT", "/a\x1b[2J", body=b"\n" + b"x" * 300), Response(400), 0, [])
    assert line(received) == f"PUT /a\ufffd[2J 400 \ufffd{'x' * 199}…"
