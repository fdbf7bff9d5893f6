"""A stranger's answer is heard out under a limit, and shown as one harmless line; a user's endpoint is read once."""

import gzip
import zlib
from urllib.parse import urlsplit

import httpx
import pytest

import dfly


def answer(body: bytes, encoding: str = "") -> httpx.Response:
    headers = {"Content-Encoding": encoding} if encoding else {}
    return httpx.Response(200, headers=headers, stream=httpx.ByteStream(body))


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"word", ""),
        (b"word", "identity"),
        (gzip.compress(b"word", mtime=0), "gzip"),
        (zlib.compress(b"word"), "deflate"),
    ],
)
def test_a_body_is_decoded(body, encoding):
    assert dfly.read_capped(answer(body, encoding), 100) == b"word"


def test_a_body_that_is_too_long_is_none_packed_or_not():
    assert dfly.read_capped(answer(b"x" * 100), 100) == b"x" * 100
    assert dfly.read_capped(answer(b"x" * 101), 100) is None
    assert dfly.read_capped(answer(gzip.compress(b"x" * 1_000_000), "gzip"), 10_000) is None


def test_an_encoding_that_nobody_asked_for_is_none_and_a_broken_one_empty():
    assert dfly.read_capped(answer(b"word", "br"), 100) is None
    assert dfly.read_capped(answer(b"word", "gzip"), 100) == b""


def test_a_quoted_text_is_one_short_line_without_what_a_terminal_obeys():
    assert dfly.quoted("no\r\nsuch \x1b[31mthing\x9b ") == "no  such  [31mthing"
    assert len(dfly.quoted("x" * 1000)) == 200


def test_what_breaks_on_the_way_is_said_of_the_hub_and_without_its_secrets():
    with pytest.raises(dfly.OriginUnavailable) as caught, dfly.reaching("https://hub", hint="look"):
        raise httpx.ReadError("https://me:pw@hub/a?signature=1 broke")
    assert (caught.value.url, caught.value.hint) == ("https://hub", "look")
    assert caught.value.message == "no answer from https://hub: ReadError: https://hub/a"


@pytest.mark.parametrize(
    ("text", "url", "prefix", "userinfo"),
    [
        ("https://hub", "https://hub", "", ""),
        (" http://hub:8080/at/it/ ", "http://hub:8080/at/it", "/at/it", ""),
        ("https://me:p%40w@hub", "https://hub", "", "me:p@w"),
    ],
)
def test_an_endpoint_keeps_port_and_prefix_and_hides_the_password(text, url, prefix, userinfo):
    endpoint = dfly.Endpoint.parse(text)
    assert (endpoint.url, endpoint.prefix, endpoint.userinfo) == (url, prefix, userinfo)
    assert "p@w" not in repr(endpoint)
    assert endpoint.authorization == ("Basic bWU6cEB3" if userinfo else None)


@pytest.mark.parametrize("text", ["", "hub", "ftp://hub", "https://", "http://hub:0", "http://hub:x", "http://[::1"])
def test_what_is_no_endpoint_is_a_usage_error(text):
    with pytest.raises(dfly.UsageError, match="not a hub endpoint"):
        dfly.Endpoint.parse(text)


@pytest.mark.parametrize(
    ("link", "served"),
    [
        ("https://hub/at/x", True),
        ("https://HUB:443/at", True),
        ("http://hub/at/x", False),
        ("https://hub:444/at/x", False),
        ("https://hub/attic", False),
        ("https://hub.evil/at/x", False),
    ],
)
def test_a_link_is_served_where_origin_and_prefix_agree(link, served):
    assert dfly.Endpoint.parse("https://hub/at").serves(urlsplit(link)) is served
