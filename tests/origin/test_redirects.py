"""Redirects are followed as far as is safe, and secrets stay where they belong."""

import socket

import httpx
import pytest
from tests.origin.conftest import CERTIFICATE, CONTENT

from dfly.config import Network, Patience
from dfly.errors import OriginUnavailable, Unsupported, Untrusted
from dfly.origin.client import open_clients
from dfly.origin.pauses import Pauses
from dfly.origin.redirects import SafeRedirects
from dfly.testing import faults

SECRETS = {
    "Authorization": "Bearer t",
    "Cookie": "m_session_id=t",
    "X-Custom-Token": "t",
    "If-Match": '"x"',
    "Referer": "https://hub/?token=t",
}


@pytest.fixture
def client():
    with open_clients(Network(), patience=Patience(), pauses=Pauses()) as clients:
        yield clients.data


def test_no_header_but_the_harmless_ones_reaches_another_origin(client, hub, cdn):
    cdn.add("m", CONTENT)
    hub.redirect("m", cdn.url_of("m"))
    response = client.get(hub.url_of("m"), headers={**SECRETS, "Range": "bytes=0-9"}, auth=("user", "password"))
    assert response.content == CONTENT[:10]
    assert cdn.leaks == []
    assert set(cdn.requests[0].headers) <= {"host", "accept", "accept-encoding", "range", "user-agent", "connection"}


def test_another_port_is_another_origin(client, hub, cdn):
    assert hub.url.rpartition(":")[0] == cdn.url.rpartition(":")[0]
    cdn.add("m", CONTENT)
    hub.redirect("m", cdn.url_of("m"))
    client.get(hub.url_of("m"), headers=SECRETS)
    assert "authorization" not in cdn.requests[0].headers


def test_what_has_left_stays_bare_when_the_chain_comes_back(client, hub, cdn):
    hub.add("end", CONTENT)
    hub.redirect("m", cdn.redirect("via", hub.url_of("end")))
    assert client.get(hub.url_of("m"), headers=SECRETS).content == CONTENT
    assert "x-custom-token" in hub.asked("m")[0].headers
    assert "x-custom-token" not in hub.asked("end")[0].headers


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_every_kind_of_redirect_is_followed_with_get_and_head(client, hub, code):
    hub.add("end", CONTENT)
    hub.redirect("m", "/end", code=code)
    assert client.get(hub.url_of("m"), headers={"X-Custom-Token": "t"}).content == CONTENT
    assert client.head(hub.url_of("m")).headers["content-length"] == str(len(CONTENT))
    assert [seen.method for seen in hub.asked("end")] == ["GET", "HEAD"]
    assert hub.asked("end")[0].headers["x-custom-token"] == "t"


@pytest.mark.parametrize("location", ["end", "./end", "/a/end", "//{host}/a/end", "?x=1"])
def test_relative_locations_are_resolved(client, hub, location):
    hub.add("a/end", CONTENT)
    hub.redirect("a/m", location.format(host=hub.url.partition("//")[2]))
    if location == "?x=1":
        hub.fault("a/m", lambda exchange: None)
        hub.redirect("a/m", lambda: "?x=1" if len(hub.asked("a/m")) == 1 else "end")
    assert client.get(hub.url_of("a/m")).content == CONTENT


def test_a_signed_query_arrives_unaltered(client, hub, cdn):
    cdn.add("m", CONTENT)
    query = "X-Amz-Credential=AK%2F2026%2Fs3&sig=a%2Bb/c+d~e==&n=%C3%A9"
    hub.redirect("m", f"{cdn.url_of('m')}?{query}")
    client.get(hub.url_of("m"))
    assert cdn.requests[0].query == query


def test_user_info_in_a_location_is_not_sent(client, hub, cdn):
    cdn.add("m", CONTENT)
    hub.redirect("m", cdn.url_of("m").replace("http://", "http://me:pw@"))
    assert client.get(hub.url_of("m")).status_code == 200
    assert cdn.leaks == []


def test_a_circle_ends_after_twenty_steps(client, hub):
    hub.redirect("m", "/m")
    with pytest.raises(Unsupported, match="20"):
        client.get(hub.url_of("m"))
    assert len(hub.requests) == 21


@pytest.mark.parametrize("location", ["ftp://host/file", "file:///etc/passwd", "http://", "http://host:port/"])
def test_a_location_that_is_no_web_address_is_refused(client, hub, location):
    hub.redirect("m", location)
    with pytest.raises(Unsupported):
        client.get(hub.url_of("m"))


def test_a_step_down_to_plain_http_is_refused(secure, hub):
    hub.add("m", CONTENT)
    secure.redirect("m", hub.url_of("m"))
    network = Network(ca_file=str(CERTIFICATE))
    with (
        open_clients(network, patience=Patience(), pauses=Pauses()) as clients,
        pytest.raises(Untrusted, match="plain http"),
    ):
        clients.data.get(secure.url_of("m"))
    assert hub.requests == []


def test_following_can_be_turned_off(client, hub):
    hub.redirect("m", "/end")
    response = client.get(hub.url_of("m"), extensions={"dfly.follow": False})
    assert (response.status_code, response.headers["location"]) == (302, "/end")
    assert len(hub.requests) == 1


def test_a_post_is_not_followed(client, hub):
    hub.redirect("m", "/end", code=307)
    assert client.post(hub.url_of("m")).status_code == 307


def test_every_response_of_the_chain_is_shown_before_it_is_followed(client, hub, cdn):
    cdn.add("m", CONTENT)
    hub.redirect("m", cdn.url_of("m"))
    shown = []
    client.get(
        hub.url_of("m"), extensions={"dfly.on_response": lambda r: shown.append((r.status_code, str(r.request.url)))}
    )
    assert shown == [(302, hub.url_of("m")), (200, cdn.url_of("m"))]


def test_whoever_is_shown_a_redirect_may_stop_it(client, hub, cdn):
    hub.redirect("m", cdn.url_of("m"))

    def refuse(response):
        raise Unsupported("not that one")

    with pytest.raises(Unsupported, match="not that one"):
        client.get(hub.url_of("m"), extensions={"dfly.on_response": refuse})
    assert cdn.requests == []


class Signing(httpx.Auth):
    """Signs the path, as SigV4 does: a signature for one path is wrong for another."""

    def auth_flow(self, request):
        request.headers["Authorization"] = f"Signed {request.url.path}"
        request.headers["X-Signed-Date"] = "now"
        yield request


def test_a_signing_auth_signs_each_hop_of_its_own_origin_and_no_other(client, hub, cdn):
    cdn.add("end", CONTENT)
    hub.redirect("a", "/b")
    hub.redirect("b", cdn.url_of("end"))
    assert client.get(hub.url_of("a"), extensions={"dfly.auth": Signing()}).content == CONTENT
    assert [seen.headers["authorization"] for seen in hub.requests] == ["Signed /a", "Signed /b"]
    assert cdn.leaks == []


class Challenged(httpx.Auth):
    """Answers a challenge, as digest authentication does."""

    requires_response_body = True

    def auth_flow(self, request):
        response = yield request
        if response.status_code == 401:
            request.headers["Authorization"] = f"Answer {response.text}"
            yield request


def test_an_auth_may_answer_a_challenge(client, hub):
    hub.add("m", CONTENT)
    hub.fault("m", faults.status(401, b"riddle"))
    assert client.get(hub.url_of("m"), extensions={"dfly.auth": Challenged()}).content == CONTENT
    assert [seen.headers.get("authorization") for seen in hub.requests] == [None, "Answer riddle"]


def test_the_body_of_a_redirect_is_not_read_to_its_end():
    read = []

    def endless():
        while True:
            read.append(1)
            yield b"x" * 1024

    def answer(request):
        if request.url.path == "/m":
            return httpx.Response(302, headers={"Location": "/end"}, stream=_Stream(endless()))
        return httpx.Response(200, content=b"end")

    with httpx.Client(transport=SafeRedirects(httpx.MockTransport(answer))) as client:
        assert client.get("http://host/m").content == b"end"
    assert len(read) <= 65


class _Stream(httpx.SyncByteStream):
    def __init__(self, chunks):
        self._chunks = chunks

    def __iter__(self):
        yield from self._chunks


def test_what_fails_behind_a_redirect_is_told_of_its_own_host(client, hub):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gone = taken.getsockname()[1]
    hub.redirect("m", f"http://127.0.0.1:{gone}/m?sig=secret")
    with pytest.raises(OriginUnavailable) as error:
        client.get(hub.url_of("m"))
    assert error.value.message == f"127.0.0.1:{gone}: connection refused"
    assert error.value.url == f"http://127.0.0.1:{gone}/m"
