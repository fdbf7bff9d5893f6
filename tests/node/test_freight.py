"""What travels for some outputs: large files by themselves, small ones in a pack that is cut up again when it is here."""

import hashlib

import pytest

from dfly.errors import IntegrityError
from dfly.events import ignore
from dfly.layout import SMALL
from dfly.node.freight import PackArrival, swarm_arrivals
from dfly.output.plan import Target
from dfly.packs import Freight
from dfly.values import Digest, Entry, Snapshot

CONTENTS = {"a": b"first", "b": b"second", "dir/c": b"third", "twin": b"first"}
LARGE = SMALL + 1


def entry(path, size, digest):
    return Entry(
        path=path, size=size, url=f"g://h@1/{path}", identity=f"g://h/{path}", digests=(digest,), validator="1"
    )


def freight():
    small = [
        entry(path, len(data), Digest("sha256", hashlib.sha256(data).hexdigest())) for path, data in CONTENTS.items()
    ]
    entries = (*small, entry("large", LARGE, Digest("sha256", "1" * 64)), entry("empty", 0, Digest("sha256", "2" * 64)))
    return Freight.of(Snapshot("g://h@1", "h", entries, public=True), task="t")


@pytest.fixture
def arrivals(tmp_path):
    begun = []

    def begin(*paths, emit=ignore):
        load = freight()
        by_path = {each.path: each for _, each in load.ids}
        targets = [Target(by_path[path], str(tmp_path / path)) for path in paths]
        new = swarm_arrivals(load, targets, root=str(tmp_path), emit=emit)
        begun.extend(new.values())
        return list(new.values())

    yield begin
    for arrival in begun:
        arrival.close()


def bring(pack, data):
    with pack.gather().writer(0, len(data)) as writer:
        writer.write(data)


def packed(pack):
    by_digest = {hashlib.sha256(data).hexdigest(): data for data in CONTENTS.values()}
    return b"".join(by_digest[each.digests[0].value] for each in pack.pack.entries)


def files(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and ".dfly" not in p.parts
    }


def test_the_pack_goes_first_and_an_empty_file_does_not_travel(arrivals):
    pack, large = arrivals(*CONTENTS, "large", "empty")
    assert isinstance(pack, PackArrival)
    assert large.entry.path == "large"


def test_without_a_small_file_among_the_outputs_no_pack_travels(arrivals):
    (large,) = arrivals("large")
    assert large.entry.path == "large"


def test_a_pack_becomes_all_files_that_are_wanted_and_no_other(arrivals, tmp_path):
    (pack,) = arrivals("a", "twin", "dir/c")
    bring(pack, packed(pack))
    assert pack.settle()
    assert files(tmp_path) == {path: CONTENTS[path] for path in ("a", "twin", "dir/c")}


def test_a_file_that_is_cut_out_of_a_pack_is_held_against_its_own_digest(arrivals, tmp_path):
    (pack,) = arrivals("b")
    bring(pack, packed(pack).replace(CONTENTS["b"], b"secone"))
    with pytest.raises(IntegrityError, match="b"):
        pack.settle()
    assert files(tmp_path) == {}
