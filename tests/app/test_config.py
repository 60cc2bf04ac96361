"""Settings: where they come from, which goes first, and what is said of one that can't be used."""

import os
from pathlib import Path
from typing import Any

import pytest
from cio_sidecar.app.config import SECRETS, ConfigError, Settings, load_settings
from cio_sidecar.cli.main import main
from click.testing import CliRunner

KEY = "key-of-great-secrecy"
BOMB_LIST = "&a0 [x, x], " + ", ".join(f"&a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))
BOMB = f"k: [{BOMB_LIST}]\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def rejected(flags: dict[str, Any] | None = None, file: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(flags or {}, file)
    message = str(caught.value)
    assert KEY not in message
    assert "pydantic" not in message
    return message


@pytest.fixture(params=["toml", "yaml"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A settings file with a profile, a region, a path, a number, and a key."""
    if request.param == "toml":
        text = 'profile = "documented"\nregion = "eu"\ndata_dir = "/d"\nconcurrency = 3\n'
        return write(tmp_path / "settings.toml", f'{text}api_key = "{KEY}"\n')
    text = "profile: documented\nregion: eu\ndata_dir: /d\nconcurrency: 3\n"
    return write(tmp_path / "settings.yaml", f"{text}api_key: {KEY}\n")


def test_the_defaults_hold_where_nothing_is_set() -> None:
    settings = load_settings({})
    assert settings.listen == "127.0.0.1:50051"
    assert settings.http_listen == "127.0.0.1:9464"
    assert (settings.region, settings.api, settings.profile) == ("us", "auto", "standard")
    assert settings.track_url == "https://track.customer.io"
    assert load_settings({"region": "eu"}).track_url == "https://track-eu.customer.io"
    assert load_settings({"base_url": "http://h:1/p"}).track_url == "http://h:1/p"


def test_a_file_sets_whatever_neither_flag_nor_variable_sets(file: Path) -> None:
    settings = load_settings({}, file)
    assert settings.profile == "documented"
    assert settings.region == "eu"
    assert settings.data_dir == Path("/d")
    assert settings.concurrency == 3
    assert settings.api_key.get_secret_value() == KEY


def test_a_variable_goes_before_the_file_and_a_flag_before_both(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIO_CONCURRENCY", "4")
    monkeypatch.setenv("CIO_REGION", "us")
    settings = load_settings({"concurrency": "5"}, file)
    assert (settings.concurrency, settings.region, settings.profile) == (5, "us", "documented")
    assert load_settings({}, file).concurrency == 4
    monkeypatch.delenv("CIO_CONCURRENCY")
    assert load_settings({}, file).concurrency == 3


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_a_variable_and_all_but_the_secrets_are_flags(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = {
        "region": "eu",
        "api": "v1",
        "profile": "standard" if name == "keep_device_events" else "documented",
        "event_id": "ulid",
        "dates": "unix_seconds",
        "email": "hash_only",
        "limits": "truncate",
        "identify_timestamp": "true",
        "keep_device_events": "true",
        "overlay_watch": "true",
        "log_level": "debug",
        "base_url": "http://h",
        "concurrency": "7",
        "requests_per_second": "7",
        "max_age_seconds": "7",
        "shutdown": "leave",
        "timeout_seconds": "7",
        "queue_max_bytes": "7000000",
        "call_max_events": "7",
        "event_max_bytes": "2048",
        "queue_max_events": "7",
        "socket_mode": "0660",
        "socket_group": "0",
        "retry_after_max_seconds": "7",
        "breaker_rejections": "7",
        "queue_min_free_bytes": "7",
        "dedup_max_events": "7",
        "dead_letter_max_bytes": "7",
        "dead_letter_max_age_days": "7",
        "dedup_window_seconds": "7",
        "ready_requires_delivery": "true",
        "shutdown_delay_seconds": "7",
        "shutdown_grace_seconds": "7",
        "site_id_file": str(write(tmp_path / "site", "s")),
        "api_key_file": str(write(tmp_path / "key", "k")),
        "http_ingest": "127.0.0.1:8088",
        "http_ingest_origins": "https://app.example.com",
        "shared_listen": "127.0.0.1:50050",
        "http_ingest_write_key_file": str(write(tmp_path / "write", "w")),
    }.get(name, "something")
    monkeypatch.setenv(f"CIO_{name.upper()}", given)
    assert getattr(load_settings({}), name) != Settings.model_fields[name].default
    shown = CliRunner().invoke(main, ["serve", "--help"]).output
    assert (f"--{name.replace('_', '-')} " in shown) == (name not in SECRETS)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("region", "mars", "'us' or 'eu'"),
        ("api", "v3", "'auto' or 'v1'"),
        ("profile", "mine", "'standard' or 'documented'"),
        ("log_level", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("concurrency", "0", "greater than or equal to 1"),
        ("concurrency", "257", "less than or equal to 256"),
        ("concurrency", "many", "valid integer"),
        ("timeout_seconds", "0", "greater than 0"),
        ("timeout_seconds", "soon", "valid number"),
        ("queue_max_bytes", "5", "greater than or equal to 1048576"),
        ("dedup_window_seconds", "-1", "greater than or equal to 0"),
        ("shutdown_delay_seconds", "-1", "greater than or equal to 0"),
        ("shutdown_delay_seconds", "inf", "finite"),
        ("shutdown_grace_seconds", "-1", "greater than or equal to 0"),
        ("base_url", "track.customer.io", "expected http://"),
        ("base_url", "ftp://h", "expected http://"),
        ("base_url", "http://", "expected http://"),
        ("base_url", "http://h:none", "expected http://"),
        ("base_url", "http://h/?a=b", "expected http://"),
        ("shared_listen", "unix:/tmp/x.sock", "expected host:port"),
        ("shared_listen", "50050", "expected host:port"),
        ("shared_listen", "127.0.0.1:0", "a port from 1 to 65535"),
        ("shared_listen", "127.0.0.1:99999", "a port from 1 to 65535"),
    ],
)
def test_a_wrong_setting_is_named_by_its_variable_with_what_was_expected(
    name: str, value: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [
        rejected({name: value}),
        rejected(file=write(tmp_path / "s.toml", f'{name} = "{value}"')),
        rejected(file=write(tmp_path / "s.yaml", f"{name}: '{value}'")),
    ]
    monkeypatch.setenv(f"CIO_{name.upper()}", value)
    messages.append(rejected())
    for message in messages:
        assert message.startswith(f"CIO_{name.upper()}: ")
        assert expected in message
        assert repr(value) in message
        assert "\n" not in message


@pytest.mark.parametrize("name", ["listen", "http_listen", "http_ingest"])
def test_what_is_a_sidecar_s_own_is_not_shared(name: str) -> None:
    same = "127.0.0.1:50050"
    message = rejected({"shared_listen": same, name: same})
    assert message.startswith(f"CIO_SHARED_LISTEN: it is the same as CIO_{name.upper()}, ")


def test_every_wrong_setting_is_named_at_once() -> None:
    lines = rejected({"region": "mars", "concurrency": "0", "api": "v9"}).splitlines()
    assert {line.partition(":")[0] for line in lines} == {
        "CIO_REGION",
        "CIO_CONCURRENCY",
        "CIO_API",
    }


@pytest.mark.parametrize("url", [f"http://me:{KEY}@h", f"https://{KEY}@h", f"http://me:{KEY}@h:x"])
def test_credentials_in_the_base_url_are_rejected_and_not_repeated(url: str) -> None:
    assert rejected({"base_url": url}).startswith("CIO_BASE_URL: ")


# Files that hold a credential


def test_credentials_may_lie_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIO_SITE_ID_FILE", str(write(tmp_path / "site", "  site \n")))
    monkeypatch.setenv("CIO_API_KEY_FILE", str(write(tmp_path / "key", f"{KEY}\n")))
    settings = load_settings({})
    assert settings.site_id == "site"
    assert settings.api_key.get_secret_value() == KEY
    settings.require_credentials()


@pytest.mark.parametrize("name", ["site_id", "api_key"])
def test_a_credential_file_that_can_not_be_read_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"CIO_{name.upper()}_FILE"
    monkeypatch.setenv(variable, str(tmp_path / "none"))
    assert rejected() == f"{variable}: can't read {tmp_path / 'none'}: No such file or directory"
    monkeypatch.setenv(variable, str(tmp_path))
    assert "Is a directory" in rejected()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    monkeypatch.setenv(variable, str(tmp_path / "binary"))
    assert rejected() == f"{variable}: can't read {tmp_path / 'binary'}: not text"


@pytest.mark.parametrize("name", ["site_id", "api_key"])
def test_a_credential_given_twice_is_rejected(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CIO_{name.upper()}", KEY)
    monkeypatch.setenv(f"CIO_{name.upper()}_FILE", str(write(tmp_path / "file", KEY)))
    assert rejected() == f"CIO_{name.upper()} and CIO_{name.upper()}_FILE are both set"


def test_missing_credentials_are_named_with_where_to_find_them() -> None:
    for flags, named in (
        ({}, "CIO_SITE_ID and CIO_API_KEY must"),
        ({"site_id": "s"}, "CIO_API_KEY must"),
        ({"api_key": KEY}, "CIO_SITE_ID must"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_settings(flags).require_credentials()
        assert str(caught.value).startswith(named)
        assert "Customer.io" in str(caught.value)
        assert "_FILE" in str(caught.value)
        assert KEY not in str(caught.value)


# Settings files


def test_an_unknown_key_in_a_file_is_named_with_those_there_are(tmp_path: Path) -> None:
    for path, text in (("s.toml", "regoin = 'eu'"), ("s.yaml", "regoin: eu")):
        message = rejected(file=write(tmp_path / path, text))
        assert message.startswith("regoin: there is no such setting")
        assert "region" in message


def test_a_settings_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert rejected(file=tmp_path / "none.toml").startswith(f"{tmp_path / 'none.toml'}: ")
    assert "Is a directory" in rejected(file=tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.toml", f'api_key = "{KEY}'),
        ("s.toml", f"api_key = {KEY}"),
        ("s.toml", f"{KEY}"),
        ("s.yaml", f'api_key: "{KEY}'),
        ("s.yaml", f"api_key: [{KEY}"),
        ("s.yaml", f"api_key: {KEY}\n\tregion: eu"),
        ("s.yaml", f"- {KEY}"),
        ("s.yaml", f"{KEY}"),
        ("s.yaml", "3"),
    ],
)
def test_a_settings_file_that_is_no_toml_or_yaml_is_named_without_its_text(
    tmp_path: Path, name: str, text: str
) -> None:
    path = write(tmp_path / name, text)
    assert rejected(file=path).startswith(f"{path}: can't be read: ")


@pytest.mark.parametrize("value", ["12345", "[1, 2]", "true", "{a: b}"])
def test_a_key_of_a_wrong_type_is_rejected_without_showing_it(tmp_path: Path, value: str) -> None:
    message = rejected(file=write(tmp_path / "s.yaml", f"api_key: {value}"))
    assert message == "CIO_API_KEY: input should be a valid string"


def test_an_empty_settings_file_sets_nothing(tmp_path: Path) -> None:
    for name in ("s.toml", "s.yaml"):
        settings = load_settings({}, write(tmp_path / name, ""))
        assert settings.model_dump() == load_settings({}).model_dump()


# Secrecy


def test_the_api_key_shows_in_no_form_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIO_API_KEY", KEY)
    settings = load_settings({})
    shown = [
        repr(settings),
        str(settings),
        repr(settings.model_dump()),
        settings.model_dump_json(),
        f"{settings.api_key}",
    ]
    assert KEY not in "".join(shown)


def test_the_api_key_does_not_show_when_another_setting_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CIO_API_KEY", KEY)
    rejected({"region": "mars", "base_url": "no"})
    monkeypatch.setenv("CIO_API_KEY_FILE", str(tmp_path))
    rejected()


def test_an_empty_variable_overrides_the_file_with_the_default(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CONCURRENCY", "REGION", "DATA_DIR", "API_KEY", "TLS_CLIENT_CA_FILE"):
        monkeypatch.setenv(f"CIO_{name}", "")
    settings = load_settings({"profile": ""}, file)
    assert (settings.concurrency, settings.region, settings.profile) == (64, "us", "standard")
    assert settings.data_dir == Path("cio-sidecar-data")
    assert settings.tls_client_ca_file is None
    assert settings.api_key.get_secret_value() == ""


def test_settings_report_every_cross_field_mistake() -> None:
    message = rejected(
        {
            "base_url": "nowhere",
            "http_ingest": "0.0.0.0:8088",
            "keep_device_events": "true",
            "profile": "documented",
        }
    )
    for name in ("CIO_BASE_URL", "CIO_HTTP_INGEST_WRITE_KEY", "CIO_KEEP_DEVICE_EVENTS"):
        assert name in message


def test_settings_report_field_and_cross_field_mistakes_together(tmp_path: Path) -> None:
    lines = rejected(
        {
            "region": "mars",
            "concurrency": "many",
            "base_url": "nowhere",
            "http_ingest": "0.0.0.0:8088",
            "api_key_file": str(tmp_path / "none"),
        },
        write(tmp_path / "s.yaml", "regoin: eu\nzzz: 1\n"),
    ).splitlines()
    assert len(lines) == 7
    starts = (
        "CIO_API_KEY_FILE: can't read ",
        "CIO_CONCURRENCY: ",
        "CIO_REGION: ",
        "regoin: there is no such setting; did you mean region?",
        "zzz: there is no such setting; there are site_id, ",
        "CIO_BASE_URL: ",
        "CIO_HTTP_INGEST_WRITE_KEY (or ",
    )
    for start in starts:
        assert any(line.startswith(start) for line in lines), (start, lines)


def test_settings_report_a_mistake_once_if_a_field_fails(tmp_path: Path) -> None:
    file = write(tmp_path / "s.yaml", "http_ingest: 0.0.0.0:8088\nhttp_ingest_write_key: 5\n")
    assert rejected(file=file) == "CIO_HTTP_INGEST_WRITE_KEY: input should be a valid string"


def test_settings_file_problem_is_reported_with_the_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIO_REGION", "mars")
    first, second = rejected(file=write(tmp_path / "s.yaml", "api: [")).splitlines()
    assert first.startswith(f"{tmp_path}/s.yaml: can't be read: line 2: ")
    assert second.startswith("CIO_REGION: ")


def test_settings_file_with_a_key_twice_is_rejected_by_line(tmp_path: Path) -> None:
    message = rejected(file=write(tmp_path / "s.yaml", f"api_key: {KEY}\nregion: eu\nregion: us"))
    assert "s.yaml: can't be read: line 3: the key 'region' stands twice" in message


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000,
        "region: &a [*a]",
        BOMB,
        f"? [{BOMB_LIST}]\n: 1\n",
        "#" * 1_000_001,
    ],
)
def test_hostile_settings_file_is_rejected(text: str, tmp_path: Path) -> None:
    message = rejected(file=write(tmp_path / "s.yaml", text))
    assert message.startswith(f"{tmp_path}/s.yaml: can't be read: ")
    assert len(message) < 500


def test_settings_file_that_is_a_fifo_or_device_is_rejected(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.yaml")
    (tmp_path / "s.toml").symlink_to("/dev/zero")
    for name in ("s.yaml", "s.toml"):
        assert "expected a regular file" in rejected(file=tmp_path / name)


def test_merge_key_in_a_settings_file_is_unknown(tmp_path: Path) -> None:
    text = "x: &x {region: eu}\n<<: *x\n"
    assert "<<: there is no such setting" in rejected(file=write(tmp_path / "s.yaml", text))


@pytest.mark.parametrize("name", ["site_id_file", "overlay_watch", "concurrency", "email"])
def test_empty_variable_of_any_type_means_the_default(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A path, a bool, a number and a choice, each set differently in the file."""
    site = write(tmp_path / "site", "s")
    text = f"site_id_file: {site}\noverlay_watch: true\nconcurrency: 3\nemail: hash_only\n"
    file = write(tmp_path / "s.yaml", text)
    monkeypatch.setenv(f"CIO_{name.upper()}", "")
    settings = load_settings({}, file)
    assert getattr(settings, name) == Settings.model_fields[name].default
    assert (settings.site_id == "") == (name == "site_id_file")
    assert settings.profile == "standard"


@pytest.mark.parametrize(("written", "mode"), [("0660", 0o660), ("'0600'", 0o600), ("666", 0o666)])
def test_socket_mode_in_a_yaml_file_is_octal(written: str, mode: int, tmp_path: Path) -> None:
    settings = load_settings({}, write(tmp_path / "s.yaml", f"socket_mode: {written}"))
    assert settings.socket_access.mode == mode


def test_settings_report_every_credential_file(tmp_path: Path) -> None:
    message = rejected({"site_id_file": str(tmp_path / "a"), "api_key_file": str(tmp_path / "b")})
    assert "CIO_SITE_ID_FILE" in message
    assert "CIO_API_KEY_FILE" in message
