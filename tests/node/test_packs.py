"""A snapshot's freight: seed peers and nodes compute the same one, and every byte has its place in it."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfly.packs import SMALL, Freight, Pack, entry_blob
from dfly.values import Digest, Entry, Snapshot

SIZES = (0, 1, 2, 1000, SMALL - 1, SMALL, SMALL + 1, 5 * SMALL)
#: Contents that a hub may name: one digest has one size.
CONTENTS = {size: Digest("sha256", f"{n:064}") for n, size in enumerate(SIZES)}

PUBLIC = Snapshot("gopher://hole@1", "hole", (), public=True)


@st.composite
def snapshots(draw):
    paths = draw(st.lists(st.text("abc/", min_size=1, max_size=6), unique=True, max_size=12))
    entries = []
    for path in paths:
        size = draw(st.sampled_from(SIZES))
        told = draw(st.sampled_from(["nothing", "size", "digest"]))
        entries.append(
            Entry(
                path=path,
                size=None if told == "nothing" else size,
                url=f"gopher://hole@1/{path}",
                identity=f"gopher://hole/{path}",
                digests=(CONTENTS[size],) if told == "digest" else (),
                validator=draw(st.sampled_from([None, "1"])),
            )
        )
    return Snapshot("gopher://hole@1", "hole", entries)


@given(snapshots())
def test_every_entry_travels_in_exactly_one_way(snapshot):
    freight = Freight.of(snapshot, task="t")
    packed = set(freight.pack.blobs) if freight.pack else set()
    for blob, entry in freight.ids:
        ways = [entry in freight.empty, blob in packed, blob in freight.blobs]
        assert ways.count(True) == 1, entry
        assert (entry in freight.empty) == (entry.size == 0)
    assert [entry for _, entry in freight.ids] == list(snapshot.entries)


@given(snapshots())
def test_the_ranges_of_a_pack_tile_it(snapshot):
    pack = Freight.of(snapshot, task="t").pack
    if pack is None:
        return
    at = 0
    for entry, start, stop in pack.ranges():
        assert start == at
        assert stop - start == entry.size > 0
        assert entry.size <= SMALL
        at = stop
    assert at == pack.size
    assert len(pack.blobs) == len(set(pack.blobs)) == len(pack.entries) >= 2


@given(snapshots(), st.randoms())
def test_the_same_snapshot_has_the_same_freight_in_whatever_order_it_was_listed(snapshot, random):
    shuffled = list(snapshot.entries)
    random.shuffle(shuffled)
    again = Freight.of(attrs.evolve(snapshot, entries=shuffled), task="t")
    assert again == Freight.of(snapshot, task="t")


@given(snapshots())
def test_the_pack_comes_first(snapshot):
    freight = Freight.of(snapshot, task="t")
    order = list(freight.sizes())
    assert order[: bool(freight.pack)] == ([freight.pack.blob] if freight.pack else [])
    assert len(order) == len(freight.blobs) + bool(freight.pack)


def entry(path, size=1, *, digest=None, validator="1"):
    digests = (Digest("sha256", digest * 64),) if digest else ()
    return Entry(
        path=path, size=size, url=f"g://h@1/{path}", identity=f"g://h/{path}", digests=digests, validator=validator
    )


def freight(*entries, task="t"):
    return Freight.of(Snapshot("g://h@1", "h", entries), task=task)


def test_two_entries_of_one_content_are_packed_once():
    made = freight(entry("a", digest="1"), entry("b", digest="1"), entry("c", digest="2"))
    assert made.pack is not None
    assert [e.path for e in made.pack.entries] == ["a", "c"]
    assert len(made.ids) == 3


def test_one_small_file_is_no_pack():
    made = freight(entry("a"), entry("big", SMALL + 1))
    assert made.pack is None
    assert [e.path for e in made.blobs.values()] == ["a", "big"]


@pytest.mark.parametrize("size", [SMALL, SMALL + 1])
def test_only_what_fits_into_one_piece_is_packed(size):
    made = freight(entry("a", size), entry("b", size))
    assert (made.pack is not None) == (size <= SMALL)


def test_files_of_unknown_size_travel_alone():
    made = freight(entry("a", None), entry("b", None), entry("c"), entry("d"))
    assert [e.path for e in made.blobs.values()] == ["a", "b"]
    assert made.sizes()[entry_blob(entry("a", None), PUBLIC, task="t")] is None


def test_another_content_another_size_or_another_order_is_another_pack():
    packs = [
        Pack((entry("a", 1), entry("b", 2)), ("x", "y")),
        Pack((entry("a", 1), entry("b", 2)), ("x", "z")),
        Pack((entry("a", 1), entry("b", 3)), ("x", "y")),
        Pack((entry("b", 2), entry("a", 1)), ("y", "x")),
        Pack((entry("a", 1),), ("x",)),
    ]
    assert len({pack.blob for pack in packs}) == len(packs)


def test_what_nothing_pins_belongs_to_one_task_and_one_path():
    loose = entry("a", validator=None)
    assert entry_blob(loose, PUBLIC, task="one") != entry_blob(loose, PUBLIC, task="two")
    assert entry_blob(loose, PUBLIC, task="one") != entry_blob(attrs.evolve(loose, path="b"), PUBLIC, task="one")
    assert entry_blob(loose, PUBLIC, task="one") == entry_blob(loose, PUBLIC, task="one")
    pinned = entry("a")
    assert entry_blob(pinned, PUBLIC, task="one") == entry_blob(pinned, PUBLIC, task="two") == pinned.blob


def told(place, *paths, public=False, digest="0"):
    """A snapshot of files that are all said to be the same content."""
    content = (Digest("sha256", digest * 64),)
    entries = [Entry(path, 7, f"{place}@1/{path}", f"{place}/{path}", content) for path in paths]
    return Snapshot(f"{place}@1", "it", entries, public=public)


def ids(snapshot):
    return [blob for blob, _ in Freight.of(snapshot, task="t").ids]


def test_what_is_public_is_one_content_wherever_it_is():
    (one,), (other,) = (ids(told(place, "a", public=True)) for place in ("gopher://one", "gopher://other"))
    assert one == other == "sha256-" + "0" * 64


def test_what_is_not_is_kept_for_the_place_it_comes_from_whatever_digest_that_claims():
    open_to_all = told("gopher://one", "a", public=True)
    places = [told("gopher://one", "a"), told("gopher://one", "b"), told("gopher://other", "a"), open_to_all]
    assert len({blob for place in places for blob in ids(place)}) == len(places)


def test_another_revision_of_it_shares_what_is_the_same():
    first = told("gopher://one", "a")
    later = attrs.evolve(
        first, source="gopher://one@2", entries=[attrs.evolve(e, validator="2") for e in first.entries]
    )
    assert ids(first) == ids(later)
    assert ids(first) != ids(told("gopher://one", "a", digest="1"))


def test_files_of_one_snapshot_with_one_content_are_one_blob():
    snapshot = told("gopher://one", "a", "b", "c")
    assert len(set(ids(snapshot))) == 1
    assert ids(snapshot)[0] == ids(told("gopher://one", "a"))[0]
