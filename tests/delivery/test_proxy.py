"""Which proxy the environment names for a URL."""

import pytest
from cio_sidecar.delivery.proxy import ProxyError, is_this_machine, proxy_of

TRACK = "https://track.customer.io"
PROXY = "http://proxy:3128"


def test_proxy_is_that_of_the_scheme() -> None:
    assert proxy_of(TRACK, {"HTTPS_PROXY": PROXY}) == PROXY
    assert proxy_of("http://track.customer.io", {"HTTPS_PROXY": PROXY}) is None
    assert proxy_of("http://track.customer.io", {"HTTP_PROXY": PROXY}) == PROXY


def test_proxy_in_lower_case_takes_precedence() -> None:
    assert proxy_of(TRACK, {"https_proxy": PROXY, "HTTPS_PROXY": "http://other:1"}) == PROXY
    assert proxy_of(TRACK, {"https_proxy": "", "HTTPS_PROXY": PROXY}) is None


@pytest.mark.parametrize(
    ("value", "proxy"),
    [
        ("proxy:3128", PROXY),
        (" proxy:3128/ ", f"{PROXY}/"),
        ("ann:secret@proxy:3128", "http://ann:secret@proxy:3128"),
        ("[::2]:3128", "http://[::2]:3128"),
        ("https://proxy:3129", "https://proxy:3129"),
        ("HTTP://proxy:3128", "HTTP://proxy:3128"),
    ],
)
def test_proxy_without_a_scheme_is_http(value: str, proxy: str) -> None:
    assert proxy_of(TRACK, {"HTTPS_PROXY": value}) == proxy


@pytest.mark.parametrize(
    "value",
    ["socks5://secret:1", "http://p:secret", "http://", "p:99999", "p:0", "http:/secret:1",
     "http:p:1", "//p:1", "ftp://secret:1", "http://a secret:1", "http://[::secret", "://p:1"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_proxy_that_can_not_be_used_names_the_variable_and_not_its_value(
    name: str, value: str
) -> None:
    with pytest.raises(ProxyError, match=f"^{name}: expected http://host:port") as caught:
        proxy_of(TRACK, {name: value})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "no_proxy", "used"),
    [
        (TRACK, "customer.io", False),
        (TRACK, ".customer.io", False),
        (TRACK, "*.customer.io", False),
        (TRACK, "Track.Customer.IO", False),
        (TRACK, "*", False),
        (TRACK, "other.io, *", False),
        (TRACK, "other.io customer.io", False),
        (TRACK, "customer.io:443", False),
        (TRACK, "customer.io:80", True),
        (TRACK, "other.io", True),
        (TRACK, "mer.io", True),
        (TRACK, "track.customer.io.other", True),
        (TRACK, ",", True),
        ("https://10.1.2.3", "10.0.0.0/8", False),
        ("https://10.1.2.3", "10.1.2.3:443", False),
        ("https://10.1.2.3", "11.0.0.0/8", True),
        ("https://[fd00::1]:8443", "fd00::/8", False),
        ("https://[fd00::1]:8443", "fd00::1", False),
        ("https://[fd00::1]:8443", "[fd00::1]:8443", False),
        ("https://[fd00::1]:8443", "[fd00::1]:443", True),
    ],
)
def test_proxy_is_not_used_for_hosts_of_no_proxy(url: str, no_proxy: str, *, used: bool) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        assert (proxy_of(url, {"HTTPS_PROXY": PROXY, name: no_proxy}) is not None) == used


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.0.0.1", True), ("127.0.0.2", True), ("localhost", True), ("app.localhost", True),
     ("::1", True), ("[::1]", True), ("::ffff:127.0.0.1", True), ("0.0.0.0", True),
     ("127.example.com", False), ("10.0.0.1", False), ("localhost.example", False), ("", False)],
)  # fmt: skip
def test_this_machine_is_never_reached_through_a_proxy(host: str, *, here: bool) -> None:
    assert is_this_machine(host) == here
    if host:
        bracketed = f"[{host}]" if host.startswith(":") else host
        assert (proxy_of(f"http://{bracketed}:8099", {"HTTP_PROXY": PROXY}) is None) == here
