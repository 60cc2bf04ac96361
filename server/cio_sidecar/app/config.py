"""Settings: from flags, ``CIO_…`` variables or a file, in that order of precedence."""

import re
import tomllib
from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from ipaddress import ip_address
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from yarl import URL

from cio_sidecar.app.bounded_files import read_text
from cio_sidecar.customerio.limits import REQUESTS_PER_SECOND
from cio_sidecar.event_queue.limits import QueueLimits
from cio_sidecar.intake import CallLimits
from cio_sidecar.listen_address import SocketAccess, group_id, port_of
from cio_sidecar.mapping_options import MappingOptions
from cio_sidecar.yaml_lines import YamlError
from cio_sidecar.yaml_lines import load as load_yaml

ENV_PREFIX: Final = "CIO_"

REGIONS: Final = {"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"}
"""The Track API's base URL of each region."""


SECRETS: Final = frozenset({"api_key", "http_ingest_write_key"})
"""Settings that no list of processes, message or log may show."""


_NAME_CHARACTERS: Final = 64
"""How much of an unknown setting's name is compared and shown."""
_AFTER_SETTING: Final = re.compile(r"[^A-Z_]")


class ConfigError(Exception):
    """Settings can't be used; ``str()`` names each by its variable, and says what to do."""


def _read_mode(value: Any) -> str:
    # YAML reads 0600 as a number, and so does TOML 0o600.
    text = f"{value:04o}" if type(value) is int else str(value)
    if not re.fullmatch("0?[0-7]{3}", text):
        raise ValueError("expected an octal mode such as 0600 or 0660")
    return text


class Settings(MappingOptions, BaseSettings):
    """Everything that can be set. Every field is also the variable ``CIO_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    site_id: str = Field("", description="Site ID of the Customer.io workspace. Required.")
    site_id_file: Path | None = Field(None, description="File that contains the site ID.")
    api_key: SecretStr = Field(
        SecretStr(""), description="Track API key of the workspace. Required. Not a flag."
    )
    api_key_file: Path | None = Field(None, description="File that contains the API key.")
    region: Literal["us", "eu"] = Field("us", description="Region of the workspace: us or eu.")
    base_url: str = Field(
        "", description="Base URL of the Track API; overrides the region. For tests."
    )
    api: Literal["auto", "v1"] = Field(
        "auto", description="auto sends v2 batches; v1 sends one request per operation."
    )

    listen: str = Field(
        "127.0.0.1:50051", description="gRPC listen address: host:port or unix:PATH."
    )
    shared_listen: str = Field(
        "off",
        description="Second gRPC listen address, shared with other sidecars on this machine "
        "(SO_REUSEPORT): host:port, or off.",
    )
    socket_mode: Annotated[str, BeforeValidator(_read_mode)] = Field(
        "0600",
        description="Mode of the unix socket in CIO_LISTEN, in octal. 0660 also lets "
        "CIO_SOCKET_GROUP connect.",
    )
    socket_group: str = Field(
        "", description="Group of that socket, by name or number; empty for the process's group."
    )
    http_listen: str = Field(
        "127.0.0.1:9464",
        description="Listen address of /livez, /readyz, /healthz/delivery and /metrics: host:port, "
        "or off.",
    )
    tls_cert_file: Path | None = Field(
        None, description="Server certificate (PEM) of gRPC and CIO_HTTP_INGEST. Enables TLS."
    )
    tls_key_file: Path | None = Field(None, description="Key (PEM) of the server certificate.")
    tls_client_ca_file: Path | None = Field(
        None,
        description="CA certificate (PEM) for client certificates. Setting it makes mTLS "
        "mandatory.",
    )

    http_ingest: str = Field(
        "off",
        description="Listen address of the Segment-compatible HTTP API: host:port, or off.",
    )
    http_ingest_write_key: SecretStr = Field(
        SecretStr(""),
        description="Accepted write keys, separated by commas; empty accepts any. Required beyond "
        "loopback. Not a flag.",
    )
    http_ingest_write_key_file: Path | None = Field(
        None, description="File that contains the write keys, separated by commas or lines."
    )
    http_ingest_origins: str = Field(
        "",
        description="Web page origins that may send events, separated by commas: "
        "https://app.example.com, or * for any. Other browser requests are rejected.",
    )

    profile: Literal["standard", "documented"] = Field(
        "standard", description="Set of built-in mapping tables: standard or documented."
    )
    overlay: Path | None = Field(
        None, description="Folder of your own mapping tables (*.yaml), which extend the profile's."
    )
    overlay_watch: bool = Field(
        False, description="Reload the overlay when a file in its folder changes."
    )

    call_max_events: int = Field(
        10_000,
        ge=1,
        description="Maximum number of events in one call, at least 1. Larger calls are rejected "
        "as a whole.",
    )
    event_max_bytes: int = Field(
        1_000_000,
        ge=1024,
        description="Maximum size of one event in bytes, as received and as stored; at least 1024.",
    )

    data_dir: Path = Field(
        Path("cio-sidecar-data"),
        description="Directory of the queue file. It must be on a persistent volume.",
    )
    queue_max_bytes: int = Field(
        QueueLimits.max_bytes,
        ge=1024 * 1024,
        description="Maximum queue size in bytes, at least 1048576. New events are rejected above "
        "it.",
    )
    queue_max_events: int = Field(
        QueueLimits.max_events,
        ge=1,
        description="Maximum number of queued events, at least 1. New events are rejected above "
        "it.",
    )
    queue_min_free_bytes: int = Field(
        QueueLimits.min_free_bytes,
        ge=0,
        description="Minimum free disk space in bytes (at most 10 % of the disk). New events are "
        "rejected below it; 0 disables the check.",
    )
    dedup_window_seconds: int = Field(
        QueueLimits.dedup_window_seconds,
        ge=0,
        description="Deduplication window in seconds: how long a message_id is remembered; 0 "
        "disables deduplication.",
    )
    dedup_max_events: int = Field(
        QueueLimits.dedup_max_events,
        ge=0,
        description="Maximum number of remembered message_ids, 0 or more; the oldest are forgotten "
        "first.",
    )
    dead_letter_max_bytes: int = Field(
        QueueLimits.dead_letter_max_bytes,
        ge=0,
        description="Maximum size of all dead letters in bytes; the oldest are removed above it; 0 "
        "keeps none.",
    )
    dead_letter_max_age_days: int = Field(
        QueueLimits.dead_letter_max_age_seconds // 86_400,
        ge=0,
        description="Retention of dead letters in days; 0 keeps them forever.",
    )

    concurrency: int = Field(
        64,
        ge=1,
        le=256,
        description="Maximum number of concurrent requests to Customer.io, 1 to 256. The sidecar "
        "adapts below it.",
    )
    requests_per_second: float = Field(
        REQUESTS_PER_SECOND,
        gt=0,
        le=REQUESTS_PER_SECOND,
        description="Maximum request rate to Customer.io per second: more than 0, up to 1000.",
    )
    timeout_seconds: float = Field(
        30, gt=0, description="Timeout of a request to Customer.io in seconds, more than 0."
    )
    max_age_seconds: int = Field(
        0,
        ge=0,
        description="Maximum age of an undelivered event in seconds; older events become dead "
        "letters. 0 means no limit.",
    )
    retry_after_max_seconds: float = Field(
        300,
        ge=0,
        description="Longest Retry-After that is honoured, in seconds; 0 ignores it.",
    )
    breaker_rejections: int = Field(
        20,
        ge=0,
        description="Consecutive rejections, of distinct persons, that open the circuit breaker; 0 "
        "disables it.",
    )

    ready_requires_delivery: bool = Field(
        False, description="Let /readyz also fail while delivery is paused or on hold."
    )
    shutdown_delay_seconds: float = Field(
        0,
        ge=0,
        allow_inf_nan=False,
        description="Time after SIGTERM during which events are still accepted, while /readyz and "
        "gRPC health already fail, in seconds; 0 or more. A second signal ends it.",
    )
    shutdown_grace_seconds: float = Field(
        20,
        ge=0,
        description="Maximum time for calls and requests in flight at shutdown, in seconds; 0 or "
        "more.",
    )
    shutdown: Literal["drain", "leave"] = Field(
        "drain",
        description="At shutdown, drain keeps delivering within the grace period; leave stops "
        "delivery at once. Undelivered events stay in the queue.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Minimum severity of log lines: debug, info, warning or error."
    )

    def problems(self) -> list[str]:
        """What is wrong with settings whose type alone is right, or with several together."""
        problems: list[str] = []
        if self.base_url and not is_base_url(self.base_url):
            problems.append(
                "CIO_BASE_URL: expected http://host or https://host, with a port and a path where "
                f"needed and nothing else, got {self.base_url.rpartition('@')[2]!r}"
            )
        if self.http_ingest != "off" and not (self.write_keys or _is_loopback(self.http_ingest)):
            problems.append(
                "CIO_HTTP_INGEST_WRITE_KEY (or …_FILE) must be set where CIO_HTTP_INGEST is "
                f"reached from other machines, as {self.http_ingest} is: give a key of your "
                "choice, which the SDKs send as their write key"
            )
        problems += [
            "CIO_HTTP_INGEST_ORIGINS: expected http://host or https://host, with a port if needed "
            f"and no path, or *, got {origin[:60]!r}"
            for origin in self.origins
            if origin != "*" and not _is_origin(origin)
        ]
        if self.shared_listen != "off":
            problems += self._shared_problems()
        if self.socket_group:
            try:
                group_id(self.socket_group)
            except LookupError:
                problems.append(
                    f"CIO_SOCKET_GROUP: there is no group {self.socket_group!r} on this machine"
                )
        if self.keep_device_events and self.profile != "standard":
            problems.append("CIO_KEEP_DEVICE_EVENTS: only the profile standard knows device events")
        return problems

    def _shared_problems(self) -> list[str]:
        problems: list[str] = []
        if not port_of(self.shared_listen):
            problems.append(
                "CIO_SHARED_LISTEN: expected host:port, with a port from 1 to 65535 that all who "
                f"share it are given (a unix socket can't be shared), got {self.shared_listen!r}"
            )
        problems += [
            f"CIO_SHARED_LISTEN: it is the same as {_variable(name)}, which is this sidecar's "
            "alone: give another port"
            for name in ("listen", "http_listen", "http_ingest")
            if getattr(self, name) == self.shared_listen
        ]
        return problems

    @property
    def options(self) -> MappingOptions:
        """The settings that change what events become."""
        return MappingOptions(**{name: getattr(self, name) for name in MappingOptions.model_fields})

    @property
    def write_keys(self) -> tuple[str, ...]:
        """The write keys that HTTP ingest accepts; none: any."""
        return tuple(re.findall(r"[^\s,]+", self.http_ingest_write_key.get_secret_value()))

    @property
    def socket_access(self) -> SocketAccess:
        """Who may connect to the unix socket of ``listen``."""
        return SocketAccess(mode=int(self.socket_mode, 8), group=self.socket_group)

    @property
    def origins(self) -> tuple[str, ...]:
        """The web pages that may send events over HTTP; none: no page may."""
        return tuple(re.findall(r"[^\s,]+", self.http_ingest_origins.lower()))

    @property
    def http_ingest_is_loopback(self) -> bool:
        """Whether the HTTP API is reached from this machine alone."""
        return _is_loopback(self.http_ingest)

    @property
    def queue_limits(self) -> QueueLimits:
        """The bounds of the queue."""
        return QueueLimits(
            max_bytes=self.queue_max_bytes,
            max_events=self.queue_max_events,
            min_free_bytes=self.queue_min_free_bytes,
            dedup_window_seconds=self.dedup_window_seconds,
            dedup_max_events=self.dedup_max_events,
            dead_letter_max_bytes=self.dead_letter_max_bytes,
            dead_letter_max_age_seconds=self.dead_letter_max_age_days * 86_400,
        )

    @property
    def call_limits(self) -> CallLimits:
        """The bounds of one call."""
        return CallLimits(max_events=self.call_max_events, max_event_bytes=self.event_max_bytes)

    @property
    def queue_file(self) -> Path:
        """The queue's file."""
        return self.data_dir / "queue.sqlite3"

    @property
    def track_url(self) -> str:
        """The base URL that requests go to."""
        return self.base_url or REGIONS[self.region]

    def require_credentials(self, but: Collection[str] = ()) -> None:
        """Raises ConfigError if the site id or the API key is missing.

        Args:
            but: Settings that are not checked.
        """
        missing = [
            _variable(name)
            for name, value in (("site_id", self.site_id), ("api_key", self.api_key))
            if not value and name not in but
        ]
        if missing:
            raise ConfigError(
                f"{' and '.join(missing)} must be set (or …_FILE, naming a file): find them in "
                "Customer.io under Settings, API credentials, Track API keys"
            )


_FIRST_OF_GROUP: Final = {
    "site_id": "Customer.io",
    "listen": "Listeners",
    "http_ingest": "Segment-compatible HTTP API",
    "profile": "Mapping",
    "call_max_events": "Limits of a call",
    "data_dir": "Queue",
    "concurrency": "Delivery",
    "ready_requires_delivery": "Process",
}


def _groups() -> dict[str, tuple[str, ...]]:
    groups: dict[str, list[str]] = {}
    title = ""
    for name in Settings.model_fields:
        if name in MappingOptions.model_fields:
            continue
        title = _FIRST_OF_GROUP.get(name, title)
        groups.setdefault(title, []).append(name)
    groups["Mapping"] += MappingOptions.model_fields
    return {title: tuple(names) for title, names in groups.items()}


GROUPS: Final = _groups()
"""The names of the settings in order, by the title of their group."""


class _Merged(Settings):
    """Settings from one dict, in which the sources are merged already."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


def load_settings(
    flags: dict[str, Any],
    file: Path | None = None,
    check: Callable[[Settings, Collection[str]], list[str]] | None = None,
) -> Settings:
    """Put the settings together. Raises ConfigError with every problem.

    Args:
        flags: Only those that were given.
        file: TOML (``.toml``) or YAML.
        check: Returns more problems. Its second argument names the settings that are known to be
            wrong, which have their defaults.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    if file is not None:
        try:
            values = _read_file(file)
        except ConfigError as error:
            problems.append(str(error))
    file_is_read = not problems
    values |= EnvSettingsSource(Settings)()
    values |= flags
    # An empty variable or flag overrides the settings file with the default.
    values = {name: value for name, value in values.items() if value != ""}
    wrong = _read_credentials(values, problems)
    try:
        settings = _Merged(**values)
    except ValidationError as error:
        details = error.errors()
        problems += map(_explain, details)
        wrong |= {str(detail["loc"][0]) for detail in details}
        settings = _Merged(**{name: value for name, value in values.items() if name not in wrong})
    if file_is_read:
        more = settings.problems()
        if check is not None:
            more += check(settings, wrong)
        named = tuple(map(_variable, wrong))
        problems += [problem for problem in more if _AFTER_SETTING.split(problem)[0] not in named]
    if problems:
        raise ConfigError("\n".join(problems))
    return settings


def _read_file(file: Path) -> dict[str, Any]:
    """The settings in a file. Raises ConfigError, never with a value of the file."""
    try:
        text = read_text(file)
        if file.suffix == ".toml":
            return tomllib.loads(text)
        values = load_yaml(text).value
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such settings file") from None
    except YamlError as error:
        what = f"line {error.line}: {error.problem}"
    except UnicodeDecodeError:
        what = "not UTF-8 text"
    except ValueError as error:
        what = str(error)
    except RecursionError:
        what = "nests too deep"
    except OSError as error:
        what = error.strerror or "unknown error"
    else:
        if values is None:
            return {}
        if isinstance(values, dict):
            # In YAML 1.2 this number is decimal; it is written as a mode.
            if type(mode := values.get("socket_mode")) is int:
                values["socket_mode"] = f"{mode:04}"
            return values
        what = "no settings"
    raise ConfigError(
        f"{file}: can't be read: {what}; expected TOML in a file that ends in .toml, else YAML, "
        "with settings by name (site_id: …)"
    )


def _read_credentials(values: dict[str, Any], problems: list[str]) -> set[str]:
    """Add the content of credential files to the values; returns the credentials that failed."""
    wrong: set[str] = set()
    for name in ("site_id", "api_key", "http_ingest_write_key"):
        path = values.get(f"{name}_file")
        if not path or not isinstance(path, str | Path):
            continue
        if values.get(name):
            problems.append(f"{_variable(name)} and {_variable(name)}_FILE are both set")
            wrong.add(name)
            continue
        try:
            values[name] = read_text(Path(path)).strip()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "not text"
            problems.append(f"{_variable(name)}_FILE: can't read {path}: {why}")
            wrong.add(name)
    return wrong


def _explain(detail: Any) -> str:
    message = detail["msg"].removeprefix("Value error, ")
    name = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        near = get_close_matches(name[:_NAME_CHARACTERS].lower(), Settings.model_fields, 1)
        names = ", ".join(chain(*GROUPS.values()))
        known = f"did you mean {near[0]}?" if near else f"there are {names}"
        return f"{name:.{_NAME_CHARACTERS}}: there is no such setting; {known}"
    got = "" if name in SECRETS else f", got {detail['input']!r:.60}"
    return f"{_variable(name)}: {message[0].lower()}{message[1:]}{got}"


def is_base_url(text: str) -> bool:
    """Whether paths can be put after it. Credentials have settings of their own."""
    try:
        url = URL(text)
        return bool(
            url.scheme in ("http", "https")
            and url.host
            and url.port
            and not (url.user or url.password or url.query_string or url.fragment)
        )
    except ValueError:
        return False


def _is_origin(text: str) -> bool:
    """Whether it is what a browser sends as Origin."""
    return is_base_url(text) and re.fullmatch(r"https?://[^/]+", text) is not None


def _is_loopback(listen: str) -> bool:
    """Whether ``host:port`` is reached from this machine alone, or is no address at all."""
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return host in ("", "localhost") or ip_address(host).is_loopback
    except ValueError:
        return False


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """The variables that begin as settings do and are none: typing errors, as a rule."""
    known = {_variable(name) for name in (*Settings.model_fields, "config")}
    return sorted(name for name in environment if name.startswith(ENV_PREFIX) and name not in known)


def _variable(name: str) -> str:
    return f"{ENV_PREFIX}{name.upper()}"
