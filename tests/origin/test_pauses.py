"""What an origin asks for is understood, shared, and bounded."""

import threading

import pytest

from dfly.errors import Cancelled, RateLimited
from dfly.origin.names import origin_of
from dfly.origin.pauses import Pauses, asked_pause


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:02:00 GMT"}, 20.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:02:00 GMT", "date": "Thu, 01 Jan 1970 00:01:55 GMT"}, 5.0),
        ({"ratelimit": '"resolvers";r=0;t=55'}, 56.0),
        ({"ratelimit": '"resolvers";r=0;t=55', "retry-after": "3"}, 56.0),
        ({"ratelimit": '"resolvers";r=12;t=55'}, None),
        ({"ratelimit": '"resolvers";r=12;t=55', "retry-after": "3"}, 3.0),
        ({"ratelimit": '"api";r=9;t=100, "resolvers";r=0;t=5'}, 6.0),
        ({"ratelimit": "limit=10, remaining=0, reset=5"}, None),
        ({"ratelimit": '"resolvers";r=0;t=x'}, None),
    ],
)
def test_what_the_headers_ask_for(headers, seconds):
    assert asked_pause(headers, now=lambda: 100.0) == seconds


def test_a_pause_is_of_one_origin_and_the_longest_one_counts():
    now = [100.0]
    pauses = Pauses(clock=lambda: now[0])
    pauses.pause("a", 10)
    pauses.pause("a", 5)
    assert (pauses.remaining("a"), pauses.remaining("b")) == (10.0, 0.0)
    now[0] += 7
    assert pauses.remaining("a") == 3.0
    now[0] += 7
    assert pauses.remaining("a") == 0.0


def test_a_pause_longer_than_is_bearable_is_an_error_that_names_the_origin():
    with pytest.raises(RateLimited, match="https://hub:443") as caught:
        Pauses(longest=10).pause("https://hub:443", 11)
    assert caught.value.after == 11


def test_a_wait_ends_when_it_is_cancelled():
    pauses, cancel = Pauses(), threading.Event()
    pauses.pause("a", 500)
    cancel.set()
    with pytest.raises(Cancelled):
        pauses.wait("a", cancel)


def test_a_wait_ends_with_the_pause():
    pauses = Pauses()
    pauses.pause("a", 0.01)
    pauses.wait("a", threading.Event())
    pauses.wait("a")
    assert pauses.remaining("a") == 0.0


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Hub.example/x", "https://hub.example:443"),
        ("http://hub.example:80/", "http://hub.example:80"),
        ("http://me:pw@hub.example:8080/?q", "http://hub.example:8080"),
        ("hf://owner/repo", "hf://owner"),
        ("ollama://llama3:8b", "ollama://llama3:8b"),
    ],
)
def test_an_origin_has_scheme_host_and_port(url, origin):
    assert origin_of(url) == origin
