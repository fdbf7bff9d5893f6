"""Origins that give out signed links and nothing else, and those that serve a file only whole."""

import math

import attrs
import pytest

import dfly
from dfly.testing import faults

from .conftest import CONTENT, Stranger


@attrs.frozen
class Key:
    key: dfly.Secret | None = dfly.option(help="opens the desk that hands out links", secret=True)


def desk(origin, *, uses: int):
    """Serve links to `file` that work `uses` times, at `desk`, to whoever has the key; how many were given."""
    origin.add("file", CONTENT)
    given = []

    def hand_out(exchange: faults.Exchange) -> None:
        if exchange.seen.headers.get("x-key") != "hush-key":
            exchange.reply = faults.Reply(401)
            return
        given.append(origin.sign("file", uses=uses))
        exchange.reply = faults.Reply(200, {}, given[-1].encode())

    origin.fault("desk", hand_out, times=math.inf)
    return given


class SignedLinks(Stranger):
    """`expires_at` is the only thing its author has to know."""

    schemes = ("signed",)
    options = Key
    expires_at = math.inf

    def locate(self, entry: dfly.Entry) -> dfly.Request:
        desk = entry.url.replace("signed://", "http://").replace("/file", "/desk")
        answer = self.tools.client.get(desk, headers={"X-Key": self.settings.key.reveal()})
        if error := dfly.error_for_status(answer, what=entry.path):
            raise error
        return dfly.Request(url=answer.text, expires_at=self.expires_at)


@pytest.fixture
def url(origin):
    return origin.url.replace("http://", "signed://") + "/file"


@pytest.mark.parametrize("uses", [1, 2])
def test_links_that_run_out_on_the_way_are_asked_for_again(fetch, origin, url, uses):
    given = desk(origin, uses=uses)
    assert fetch(SignedLinks, url, key="hush-key") == CONTENT
    assert len(given) > 1
    assert "HTTP Request: GET" in fetch.log.text
    assert "sig1" not in repr(fetch.events) + fetch.log.text


def test_a_link_past_its_time_is_not_tried(fetch, origin, url):
    class ExpiredAtOnce(SignedLinks):
        expires_at = 0.0

    given = desk(origin, uses=1)
    assert fetch(ExpiredAtOnce, url, key="hush-key") == CONTENT
    assert len(given) == len(origin.asked("file")) == 3


def test_a_wrong_key_is_an_error_that_does_not_tell_it(fetch, origin, url):
    desk(origin, uses=1)
    with pytest.raises(dfly.AccessDenied):
        fetch(SignedLinks, url, key="wrong-key")
    assert origin.asked("file") == []


class Plain(Stranger):
    schemes = ("plain",)
    ranges: bool | None = None

    def locate(self, entry: dfly.Entry) -> dfly.Request:
        return dfly.Request(url=entry.url.replace("plain://", "http://"), ranges=self.ranges)


def test_an_origin_without_ranges_is_read_in_one_stream(fetch, origin):
    url = origin.add("file", CONTENT).replace("http://", "plain://")
    origin.fault("file", faults.no_range(), times=math.inf)
    assert fetch(Plain, url) == CONTENT


def test_an_origin_that_is_said_to_have_no_ranges_is_asked_for_none(fetch, origin):
    class Whole(Plain):
        ranges = False

    url = origin.add("file", CONTENT).replace("http://", "plain://")
    assert fetch(Whole, url) == CONTENT
    assert [seen.range for seen in origin.asked("file")] == [None]


@pytest.mark.parametrize("framing", [faults.chunked, faults.until_closed])
def test_an_origin_that_tells_no_length_is_read_to_its_end(fetch, origin, framing):
    class Unmeasured(Plain):
        size = None

    url = origin.add("file", CONTENT).replace("http://", "plain://")
    origin.fault("file", faults.no_range(), framing(), times=math.inf)
    assert fetch(Unmeasured, url) == CONTENT
