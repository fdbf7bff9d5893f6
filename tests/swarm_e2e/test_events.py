"""What a node tells is what happened, and an error of the seed peer is the same error here."""

from collections import Counter

import pytest

from dfly.errors import NotAFile, NotFound, UsageError

from .files import MIB, SEGMENT, size_of, some_bytes

FILES = {"big.bin": some_bytes(2 * SEGMENT + MIB + 3), "medium.bin": some_bytes(MIB, 2), "a.json": b"a", "b.json": b"b"}


def test_bytes_are_told_by_source_and_add_up_to_the_files(origin, swarm):
    memory = origin(FILES)
    memory.hold("big.bin", 0)
    cluster = swarm(memory)
    nodes = cluster.several(3, "memory://model")
    cluster.await_members(3)
    memory.let_go()
    total = Counter()
    for node in nodes:
        report = node.done()
        arrived = Counter()
        for event in node.named("bytes.arrived"):
            arrived[event.source] += event.bytes
        assert sum(arrived.values()) == size_of(FILES)
        assert arrived == report.sources
        total += arrived
    assert set(total) == {"seed-peer", "peer"}


def test_every_file_is_told_once_and_every_segment_once(origin, swarm):
    for node in swarm(origin(FILES)).several(2, "memory://model"):
        node.done()
        assert sorted(event.path for event in node.named("file.finished")) == sorted(FILES)
        segments = [(event.path, event.index) for event in node.named("segment.finished")]
        assert sorted(segments) == [
            ("(2 small files)", 0),
            ("big.bin", 0),
            ("big.bin", 1),
            ("big.bin", 2),
            ("medium.bin", 0),
        ]
        assert len(node.named("task.finished")) == 1
        (finished,) = node.named("task.finished")
        assert finished.bytes == size_of(FILES)


@pytest.mark.parametrize(
    ("source", "recursive", "kind", "code"),
    [
        ("memory://nobody", True, NotFound, 4),
        ("memory://model/missing.bin", False, NotFound, 4),
        ("memory://model", False, NotAFile, 2),
        ("memory://", True, UsageError, 2),
    ],
)
def test_an_error_of_the_seed_peer_keeps_its_class_its_code_and_its_hint(origin, swarm, source, recursive, kind, code):
    memory = origin(FILES)
    cluster = swarm(memory)
    alone = cluster.node(source, recursive=recursive, joining={"seed_peers": ()}).error()
    through = cluster.node(source, recursive=recursive).error()
    assert type(through) is type(alone) is kind
    assert through.exit_code == code
    assert (through.message, through.hint) == (alone.message, alone.hint)
