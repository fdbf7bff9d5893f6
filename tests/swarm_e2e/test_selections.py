"""A choice of files, one file, files of unknown size, nothing at all."""

import pytest

from .files import KIB, MIB, SEGMENT, some_bytes, tree

FILES = {
    "big.bin": some_bytes(SEGMENT + MIB),
    "medium.bin": some_bytes(600 * KIB, 2),
    "a.json": b"a",
    "sub/b.json": b"bb",
    "empty": b"",
}


def test_include_and_exclude_choose_what_travels(origin, swarm):
    memory = origin(FILES)
    cluster = swarm(memory)
    for node in cluster.several(2, "memory://model", include=["*.json", "medium.*"], exclude=["sub/*"]):
        node.done()
        assert tree(node.output) == {name: FILES[name] for name in ("a.json", "medium.bin")}
    assert memory.sent == {"a.json": 1, "medium.bin": 600 * KIB}


@pytest.mark.parametrize("path", ["big.bin", "medium.bin", "a.json", "empty"])
def test_one_file_arrives_alone(origin, swarm, tmp_path, path):
    memory = origin(FILES)
    cluster = swarm(memory)
    nodes = [cluster.node(f"memory://model/{path}", output=tmp_path / f"file{n}", recursive=False) for n in range(2)]
    for node in nodes:
        node.done()
        assert node.output.read_bytes() == FILES[path]
    assert memory.total == len(FILES[path])


def test_a_single_file_is_held_against_the_digest_that_its_user_demands(origin, swarm, tmp_path):
    import hashlib

    memory = origin(FILES, digests=False)
    right = hashlib.sha512(FILES["medium.bin"]).hexdigest()
    node = swarm(memory).node(
        "memory://model/medium.bin", output=tmp_path / "file", recursive=False, digest=f"sha512:{right}"
    )
    node.done()
    assert node.output.read_bytes() == FILES["medium.bin"]


def test_a_repository_of_nothing_but_empty_files_needs_no_transfer(origin, swarm):
    node = swarm(origin({"empty": b"", "sub/also": b""})).node("memory://model")
    node.done()
    assert tree(node.output) == {"empty": b"", "sub/also": b""}


def test_files_of_unknown_size_are_published_when_they_are_whole(origin, swarm):
    memory = origin(FILES, sizes=False, digests=False)
    # nothing pins such files: nodes share them as long as the seed peer's answer to the first of them counts
    for node in swarm(memory, revision_ttl=60.0).several(3, "memory://model"):
        node.done()
        assert tree(node.output) == FILES
    assert memory.sent == {name: len(data) for name, data in FILES.items() if data}


def test_a_second_run_transfers_nothing(origin, swarm):
    memory = origin(FILES)
    cluster = swarm(memory)
    node = cluster.node("memory://model")
    node.done()
    sent = cluster.sent()
    again = cluster.node("memory://model", output=node.output)
    report = again.done()
    assert report.skipped == len(FILES)
    assert report.sources == {}
    assert cluster.sent() == sent


def test_a_dry_run_makes_nobody_fetch_anything(origin, swarm):
    memory = origin(FILES)
    cluster = swarm(memory)
    report = cluster.node("memory://model", dry_run=True).done()
    assert {planned.path for planned in report.plan} == set(FILES)
    # what was asked for first would have been fetched first
    cluster.node("memory://model", include=["medium.bin"]).done()
    assert memory.sent == {"medium.bin": 600 * KIB}


def test_what_is_in_place_is_not_fetched_by_a_seed_peer_that_lacks_it(origin, swarm):
    memory = origin(FILES)
    cluster = swarm(memory)
    alone = cluster.node("memory://model", joining={"seed_peers": ()})
    alone.done()
    memory.sent.clear()
    assert cluster.node("memory://model", output=alone.output).done().skipped == len(FILES)
    (alone.output / "medium.bin").unlink()
    report = cluster.node("memory://model", output=alone.output, joining={"back_to_source": False}).done()
    assert report.skipped == len(FILES) - 1
    assert tree(alone.output) == FILES
    assert memory.sent == {"medium.bin": 600 * KIB}


def test_where_nothing_is_in_place_the_seed_peer_begins_before_the_node_is_in_the_ring(origin, swarm, monkeypatch):
    monkeypatch.setattr("dfly.node.reporting.Reports.want", lambda *_: None)
    cluster = swarm(origin(FILES))
    node = cluster.node("memory://model", joining={"back_to_source": False})
    node.done()
    assert tree(node.output) == FILES
