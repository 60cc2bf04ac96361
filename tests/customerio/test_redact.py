"""Credentials in what a server sends: redacted however they are written, and linear in time."""

import base64
import json
from urllib.parse import quote

import pytest
from cio_sidecar.customerio.redaction import REDACTED, Redactor

SITE_ID, API_KEY, WRITE_KEY = "site-5d41402abc4b", "key/7d79+3037a0", "wk-0f1e2d3c"
PAIR = f"{SITE_ID}:{API_KEY}".encode()
TOKEN = base64.b64encode(PAIR).decode()
REDACTOR = Redactor([(SITE_ID, API_KEY)], [WRITE_KEY, "ab"])


def in_base64(before: bytes, after: bytes = b"") -> str:
    return base64.b64encode(before + PAIR + after).decode()


@pytest.mark.parametrize(
    "echo",
    [
        API_KEY,
        WRITE_KEY,
        TOKEN,
        TOKEN.rstrip("="),
        base64.urlsafe_b64encode(PAIR).decode(),
        quote(TOKEN, safe=""),
        quote(API_KEY, safe=""),
        API_KEY.replace("/", "\\/"),
        in_base64(b"x"),
        in_base64(b"xy", b"z"),
        base64.b64encode(b"user:" + API_KEY.encode()).decode(),
        TOKEN[:20],
    ],
)
def test_redact_replaces_a_secret_and_nothing_else(echo: str) -> None:
    redacted = REDACTOR.redact_text(f'{{"message":"got {echo}","code":7}}')
    assert REDACTED in redacted
    assert redacted.startswith('{"message":"got ')
    assert redacted.endswith('","code":7}')
    for start in (API_KEY[:8], WRITE_KEY[:8], TOKEN[:8], in_base64(b"x")[4:12]):
        assert start not in redacted


@pytest.mark.parametrize(
    "echo",
    [
        API_KEY.upper(),
        "".join(f"\\u{ord(each):04x}" for each in API_KEY),
        "".join(f"%{ord(each):02X}" for each in API_KEY),
        "".join(f"&#{ord(each)};" for each in TOKEN),
        "".join(f"&#x{ord(each):x};" for each in TOKEN),
        quote(quote(quote(API_KEY, safe=""), safe=""), safe=""),
    ],
)
def test_redact_replaces_everything_if_a_secret_is_escaped(echo: str) -> None:
    assert REDACTOR.redact_text(f"got {echo} from you") == REDACTED


@pytest.mark.parametrize("secret", ["pässwörd-1234", 'with"quote\\and', "with space and:colon"])
def test_redact_finds_a_secret_of_any_characters(secret: str) -> None:
    redactor = Redactor([("user", secret)])
    for echo in (secret, json.dumps(secret), quote(secret)):
        redacted = redactor.redact_text(f"got {echo} from you")
        assert REDACTED in redacted
        assert secret[-4:] not in redacted


def test_redact_leaves_other_text_as_it_is() -> None:
    text = f'{SITE_ID} {{"errors":[{{"reason":"invalid","message":"100% \\u00e9 abc"}}]}}'
    assert REDACTOR.redact_text(text) == text
    assert Redactor([("", "")]).redact(b"anything") == b"anything"


def test_redact_cut_leaves_no_start_of_a_secret_at_the_end() -> None:
    body = "x" * 1000 + TOKEN
    for end in range(1000, len(body)):
        redacted = REDACTOR.redact_cut(body[:end].encode()).decode()
        assert TOKEN[:4] not in redacted
        assert redacted.startswith("x" * 500)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", ["k", "\\", "%", "%25", "&#", "\\u006", API_KEY[:-1], TOKEN[:11]])
def test_redact_takes_linear_time(unit: str) -> None:
    REDACTOR.redact((unit * (1024 * 1024))[: 1024 * 1024].encode())


_KEY = "key-51b7secretA9"


@pytest.mark.parametrize(
    "echo",
    [
        _KEY.encode().hex(),
        _KEY.encode().hex().upper(),
        "".join(rf"\x{byte:02x}" for byte in _KEY.encode()),
        "".join(rf"\u{{{byte:x}}}" for byte in _KEY.encode()),
        "".join(f"={byte:02X}" for byte in _KEY.encode()),
        f"{_KEY[:6]}\\n{_KEY[6:]}",
        "\0".join(_KEY),
        *(
            base64.b64encode(
                b"x" * shift + b"Basic " + base64.b64encode(f"site:{_KEY}".encode())
            ).decode()
            for shift in range(3)
        ),
    ],
)
def test_redact_finds_a_secret_however_it_is_written(echo: str) -> None:
    data = b'{"error": "%s"}' % echo.encode()
    redacted = Redactor([("site", _KEY)]).redact(data)
    assert b"[redacted]" in redacted
    assert echo.encode() not in redacted
