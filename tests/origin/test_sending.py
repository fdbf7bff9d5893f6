"""Our clients send straight to their transports; what users and callers have of httpx's own way stays."""

import logging

import httpx
import pytest

from dfly.config import Network, Patience
from dfly.origin.client import open_clients
from dfly.origin.pauses import Pauses
from dfly.testing.origin import FaultyOrigin


@pytest.fixture
def client():
    with open_clients(Network(), patience=Patience(tries=1), pauses=Pauses()) as clients:
        yield clients.data


@pytest.fixture
def origin():
    with FaultyOrigin() as running:
        running.add("file", b"content")
        yield running


def test_a_request_is_logged_as_httpx_does_it_and_without_its_query(client, origin, caplog):
    caplog.set_level(logging.INFO, logger="httpx")
    client.get(origin.url_of("file") + "?signature=s3cret")
    assert caplog.messages == [f'HTTP Request: GET {origin.url_of("file")} "HTTP/1.1 200 OK"']


def test_user_info_in_a_url_is_a_password(client, origin):
    client.get(origin.url_of("file").replace("://", "://me:secret@"))
    assert origin.requests[-1].headers["authorization"] == "Basic bWU6c2VjcmV0"


@pytest.mark.parametrize("user", ["", "me:secret@"], ids=["straight", "by-httpx"])
def test_a_cookie_is_not_kept(client, origin, user):
    origin.fault("file", lambda exchange: exchange.reply.headers.update({"Set-Cookie": "a=b"}), times=2)
    url = origin.url_of("file").replace("://", f"://{user}")
    assert "set-cookie" in client.get(url).headers
    client.get(url)
    assert "cookie" not in origin.requests[-1].headers


def test_a_failure_names_its_request(client, origin):
    url = origin.url_of("file")
    origin.close()
    with pytest.raises(httpx.ConnectError) as raised:
        client.get(url)
    assert str(raised.value.request.url) == url


def test_a_closed_client_sends_nothing(client, origin):
    client.close()
    with pytest.raises(RuntimeError):
        client.get(origin.url_of("file"))
    assert origin.requests == []
