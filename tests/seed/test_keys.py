import os
import threading

import attrs
import pytest

from dfly.backend import Secret
from dfly.errors import OutputError
from dfly.seed.keys import Keys
from dfly.seed.options import CallerOptions
from dfly.seed.seals import LIFETIME, ClusterSeals, RememberedSeals, content_of
from dfly.values import Entry, Snapshot
from dfly.wire import Resolved, Segment

from .clocks import Clock

SNAPSHOT = Snapshot("memory://tiny@1", "tiny", (Entry("a", 1, "memory://tiny@1/a", "memory://tiny/a"),), "1")
SEGMENT = Segment(blob="b", index=1, size=100, hashes=bytes(20), attempt=2)


def caller(secrets="mine", endpoints=()):
    return CallerOptions(settings=None, content=(), secrets=secrets, endpoints=endpoints)


def known(seals, **changes):
    seal = seals.prove("memory://tiny", "task", content_of(SNAPSHOT), caller())
    return attrs.evolve(Resolved(task="task", snapshot=SNAPSHOT, seal=seal), **changes)


def test_seed_peers_with_one_secret_have_the_same_keys_and_others_have_not():
    one, other = (Keys.of(Secret("secret")).seal("purpose", "x") for _ in range(2))
    assert one == other
    assert Keys.of(Secret("another")).seal("purpose", "x") != one
    assert Keys.of(Secret("secret")).seal("other purpose", "x") != one


def test_a_key_in_the_data_directory_is_found_again_and_is_nobody_elses(tmp_path):
    first, again = (Keys.kept_in(str(tmp_path / "a")).seal("p", "x") for _ in range(2))
    assert first == again
    assert Keys.kept_in(str(tmp_path / "b")).seal("p", "x") != first
    assert os.stat(tmp_path / "a" / "key").st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path / "a") == ["key"]


def test_two_who_make_the_key_at_once_have_one(tmp_path):
    seals, start = set(), threading.Barrier(8)

    def make():
        start.wait()
        seals.add(Keys.kept_in(str(tmp_path)).seal("p", "x"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seals) == 1


def spoil_mode(path):
    os.chmod(path, 0o640)


def spoil_owner(path):
    os.chown(path, 12345, -1)


def spoil_length(path):
    path.write_bytes(b"short")


def spoil_kind(path):
    path.rename(f"{path}.real")
    path.symlink_to(f"{path}.real")


@pytest.mark.parametrize("spoil", [spoil_mode, spoil_owner, spoil_length, spoil_kind])
def test_a_key_that_others_could_know_or_replace_is_refused(tmp_path, spoil):
    if spoil is spoil_owner and os.geteuid():
        pytest.skip("only root gives files away")
    Keys.kept_in(str(tmp_path))
    spoil(tmp_path / "key")
    with pytest.raises(OutputError):
        Keys.kept_in(str(tmp_path))


def test_a_seal_counts_for_another_seed_peer_of_the_cluster():
    ours, theirs = (ClusterSeals(keys=Keys.of(Secret("s"))) for _ in range(2))
    assert theirs.proven(known(ours), caller()) == "memory://tiny"
    assert ClusterSeals(keys=Keys.passing()).proven(known(ours), caller()) is None


@pytest.mark.parametrize(
    "other",
    [
        {"task": "another"},
        {"snapshot": attrs.evolve(SNAPSHOT, public=True)},
        {"snapshot": attrs.evolve(SNAPSHOT, name="x")},
        {"snapshot": attrs.evolve(SNAPSHOT, revision="2")},
        {"seal": ""},
        {"seal": "9999999999.bWVtb3J5Oi8vdGlueQ.00"},
        {"seal": "\ud800"},
        {"seal": "x.y.z"},
    ],
)
def test_a_seal_is_on_one_snapshot_only(other):
    seals = ClusterSeals(keys=Keys.passing())
    assert seals.proven(known(seals, **other), caller()) is None


def test_a_seal_names_another_source_only_when_a_seed_peer_wrote_it():
    seals = ClusterSeals(keys=Keys.passing())
    right = known(seals)
    expires, _, mac = right.seal.split(".")
    forged = attrs.evolve(right, seal=f"{expires}.bWVtb3J5Oi8vb3RoZXI.{mac}")
    assert seals.proven(forged, caller()) is None


def test_a_seal_is_one_callers():
    seals = ClusterSeals(keys=Keys.passing())
    assert seals.proven(known(seals), caller("another's")) is None
    assert seals.proven(known(seals), caller(endpoints=("https://evil",))) is None


def test_a_seal_runs_out():
    clock = Clock()
    seals = ClusterSeals(keys=Keys.passing(), now=clock)
    sealed = known(seals)
    clock.now += LIFETIME + 1
    assert seals.proven(sealed, caller()) is None


@pytest.mark.parametrize(
    "other", [{"blob": "c"}, {"index": 2}, {"size": 99}, {"attempt": 3}, {"hashes": bytes(19) + b"x"}, {"mac": "é"}]
)
def test_a_mac_is_on_one_segment_of_one_attempt(other):
    seals = ClusterSeals(keys=Keys.passing())
    told = attrs.evolve(SEGMENT, mac=seals.mac(SEGMENT))
    assert seals.believes(told)
    assert not seals.believes(attrs.evolve(told, **other))


def test_a_stand_in_believes_what_it_was_told_and_passes_the_marks_on():
    seals = RememberedSeals([attrs.evolve(SEGMENT, mac="ab")])
    assert seals.believes(SEGMENT)
    assert seals.mac(SEGMENT) == "ab"
    for other in (attrs.evolve(SEGMENT, index=3), attrs.evolve(SEGMENT, hashes=b"x" * 20)):
        assert not seals.believes(other)
        assert seals.mac(other) == ""
