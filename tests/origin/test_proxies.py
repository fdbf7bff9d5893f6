"""Every request goes out the way its own URL calls for, redirects included."""

import httpx
import pytest
from tests.origin.conftest import CONTENT

from dfly.config import Network, Patience
from dfly.errors import UsageError
from dfly.origin.client import open_clients
from dfly.origin.pauses import Pauses
from dfly.origin.proxies import Proxies
from dfly.testing.origin import FaultyOrigin


class _Way(httpx.MockTransport):
    def __init__(self, proxy):
        super().__init__(lambda request: httpx.Response(200, text=str(proxy)))


def way(url: str, *, proxy: str | None = None, **environment: str) -> str | None:
    return Proxies(_Way, proxy=proxy, environment=environment).way(httpx.URL(url))


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("https://hub/x", {}, None),
        ("https://hub/x", {"https": "http://p"}, "http://p"),
        ("http://hub/x", {"https": "http://p"}, None),
        ("http://hub/x", {"all": "http://p"}, "http://p"),
        ("https://hub/x", {"https": "http://p", "all": "http://q"}, "http://p"),
        ("https://hub/x", {"https": "http://p", "no": "*"}, None),
        ("https://hub/x", {"https": "http://p", "no": "other, hub"}, None),
        ("https://a.hub.example/x", {"https": "http://p", "no": "hub.example"}, None),
        ("https://a.hub.example/x", {"https": "http://p", "no": ".hub.example"}, None),
        ("https://ahub.example/x", {"https": "http://p", "no": "hub.example"}, "http://p"),
        ("https://hub:8443/x", {"https": "http://p", "no": "hub:8443"}, None),
        ("https://hub:8443/x", {"https": "http://p", "no": "hub:1"}, "http://p"),
        ("https://10.1.2.3/x", {"https": "http://p", "no": "10.0.0.0/8"}, None),
        ("https://11.1.2.3/x", {"https": "http://p", "no": "10.0.0.0/8"}, "http://p"),
        ("https://[fd00::1]/x", {"https": "http://p", "no": "fd00::/8"}, None),
    ],
)
def test_the_environment_decides(url, environment, expected):
    assert way(url, **environment) == expected


def test_a_given_proxy_is_for_everything():
    assert way("https://hub/x", proxy="http://given", https="http://p", no="*") == "http://given"


@pytest.mark.parametrize("url", ["ftp://user:secret@host:1", "http://user:secret@host:notaport"])
def test_a_bad_proxy_is_a_usage_error_without_its_password(url):
    with pytest.raises(UsageError) as caught:
        open_clients(Network(proxy=url), patience=Patience(), pauses=Pauses())
    assert "secret" not in str(caught.value)


def test_a_redirect_to_a_proxied_host_goes_through_the_proxy(monkeypatch, hub):
    with FaultyOrigin() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        proxy.add("http://far.example/m", CONTENT)
        hub.redirect("m", "http://far.example/m")
        with open_clients(Network(), patience=Patience(), pauses=Pauses()) as clients:
            for client in (clients.api, clients.data):
                assert client.get(hub.url_of("m")).content == CONTENT
        assert [seen.headers["host"] for seen in proxy.requests] == ["far.example"] * 2


def test_a_netrc_file_gives_no_credentials_away(monkeypatch, tmp_path, hub):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    hub.add("m", CONTENT)
    with open_clients(Network(), patience=Patience(), pauses=Pauses()) as clients:
        clients.data.get(hub.url_of("m"))
        clients.api.get(hub.url_of("m"))
    assert not any("authorization" in seen.headers for seen in hub.requests)
