"""What opens something: grants, seals, tickets, tokens. Whatever is not exactly one of them opens nothing and says so."""

import base64

import attrs
import pytest
from hypothesis import example
from hypothesis import strategies as st
from tests.fuzz.material import digits, fuzz, headers, texts, torn

from dfly.backend import Secret
from dfly.errors import AccessDenied, NotFound
from dfly.seed.access import Access, is_loopback
from dfly.seed.catalog import content_of
from dfly.seed.grants import Grant
from dfly.seed.guests import Guests
from dfly.seed.keys import Keys
from dfly.seed.options import caller_options
from dfly.seed.seals import ClusterSeals
from dfly.testing.memory import memory_backend
from dfly.values import Digest, Entry, Snapshot
from dfly.wire import Resolved, Segment

KEYS = Keys.of(Secret("of the cluster"))
NOW = 1_000.0
GRANT = Grant(task="t-1", node="n", expires=2_000)
SEALED = GRANT.sealed(KEYS)
words = st.text("abcXYZ019_-.", max_size=12)


def opened(text, now=NOW):
    try:
        return Grant.opened(text, KEYS, now=now)
    except AccessDenied:
        return None


@fuzz(st.text(max_size=40) | texts | torn(SEALED.encode()).map(lambda b: b.decode("latin-1")), examples=200)
@example(SEALED + "=")
@example(SEALED + "A")
@example("")
@example("é" * 80)
@example("A" * 21)
def test_no_other_text_is_a_grant(text):
    found = opened(text)
    # base64 of other spare bits is the same bytes
    assert found is None or (found == GRANT and _bytes(text) == _bytes(SEALED))


def _bytes(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@fuzz(words, words, st.integers(-5, 5_000))
def test_a_grant_opens_what_it_says_until_it_ends_and_not_after(task, node, expires):
    grant = Grant(task=task, node=node, expires=expires)
    sealed = grant.sealed(KEYS)
    assert opened(sealed, now=expires - 1) == grant
    assert opened(sealed, now=expires) is None
    with pytest.raises(AccessDenied):
        Grant.opened(sealed, Keys.of(Secret("of another")), now=expires - 1)


ENTRY = Entry(path="a", size=7, url="memory://r@x/a", identity="i", digests=(Digest("sha256", "0" * 64),))
SNAPSHOT = Snapshot("memory://r@x", "r", (ENTRY,), revision="x")
BACKEND = memory_backend({})
SEALS = ClusterSeals(keys=KEYS, now=lambda: NOW)


def caller(token="mine"):
    return caller_options(BACKEND, {"memory-token": (token,)}, {})


PROVED = Resolved(task="t", snapshot=SNAPSHOT, seal=SEALS.prove("memory://r", "t", content_of(SNAPSHOT), caller()))


def test_the_samples_open():
    assert opened(SEALED) == GRANT
    assert SEALS.proven(PROVED, caller()) == "memory://r"


@fuzz(texts | digits | torn(PROVED.seal.encode()).map(lambda b: b.decode("latin-1")), examples=200)
@example("")
@example(".")
@example("..")
@example("9" * 5000 + ".x.00")
@example("²." + PROVED.seal)
@example("\ud800.x.00")
def test_no_other_text_is_a_seal(seal):
    assert SEALS.proven(attrs.evolve(PROVED, seal=seal), caller()) is None or seal == PROVED.seal


@fuzz(
    st.fixed_dictionaries({}, optional={
        "source": texts, "name": texts, "revision": texts | st.none(), "public": st.booleans(),
        "entries": st.lists(st.builds(attrs.evolve, st.just(ENTRY), path=texts, size=st.integers(0, 9), url=texts)),
    }),
    texts,
)  # fmt: skip
def test_a_seal_is_for_one_task_and_one_content(changes, task):
    other = Resolved(task=task, snapshot=attrs.evolve(SNAPSHOT, **changes), seal=PROVED.seal)
    assert SEALS.proven(other, caller()) is None or (task, other.snapshot) == (PROVED.task, SNAPSHOT)


@fuzz(headers)
def test_a_seal_is_for_the_secrets_it_was_given_to(token):
    assert SEALS.proven(PROVED, caller(token)) is None or token.strip() == "mine"


SEGMENT = Segment(blob="b", index=1, size=9, hashes=bytes(20))
MARKED = attrs.evolve(SEGMENT, mac=SEALS.mac(SEGMENT))


@fuzz(
    st.fixed_dictionaries({}, optional={
        "blob": texts, "index": st.integers(0, 99), "size": st.integers(0, 99), "attempt": st.integers(1, 9),
        "hashes": st.binary(min_size=20, max_size=40), "mac": texts,
    }),
)  # fmt: skip
def test_the_mark_of_a_segment_is_on_its_numbers_and_hashes(changes):
    other = attrs.evolve(MARKED, **changes)
    assert not SEALS.believes(other) or other == MARKED


@fuzz(headers | texts | torn(b"Bearer of-the-cluster").map(lambda b: b.decode("latin-1")), examples=150)
@example("Bearer")
@example("bearer \ud800")
@example("Bearer of-the-cluster x")
def test_no_other_header_is_the_cluster_token(said):
    access = Access(cluster_token=Secret("of-the-cluster"))
    try:
        access.check_token(said)
    except AccessDenied:
        return
    scheme, _, token = said.partition(" ")
    assert (scheme.lower(), token.strip()) == ("bearer", "of-the-cluster")


PLACES = (
    st.builds("{}://{}".format, st.sampled_from(["memory", "http", "https", "s3", "hf", ""]), texts | headers) | texts
)


@fuzz(PLACES, st.lists(PLACES, max_size=2).map(tuple), examples=150)
@example("http://[::1", ())
@example("http://2852039166/", ())
@example("memory://tiny/../other", ())
@example("memory://tiny/%2e%2e/other", ())
def test_a_source_is_allowed_by_its_glob_or_denied(url, endpoints):
    access = Access(allow_source=("memory://tiny*",))
    try:
        access.check_source(url, endpoints=endpoints)
    except AccessDenied:
        return
    assert url.startswith("memory://tiny")
    assert not endpoints


@fuzz(texts | headers | st.sampled_from(["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.1", "localhost"]))
def test_only_an_address_of_this_machine_is_loopback(remote):
    if is_loopback(remote):
        assert remote.startswith(("127.", "::1", "::ffff:127.", "0:", "0000:", "::ffff:7f"))


class _Guest:
    ticket = "0" * 32


@fuzz(headers | texts)
def test_no_other_text_is_a_ticket(text):
    guests = Guests()
    guests.check(text)
    guests.admit(_Guest())
    if text == _Guest.ticket:
        return
    with pytest.raises(NotFound):
        guests.check(text)
