"""Wrong bytes from the hub: taken back everywhere, fetched once more, and in the end refused everywhere."""

import pytest

from dfly.errors import IntegrityError

from .files import MIB, SEGMENT, some_bytes, tree

FILES = {"big.bin": some_bytes(SEGMENT + MIB), "a.json": b"a", "b.json": b"b"}


@pytest.fixture
def both(origin, swarm):
    """Two nodes that have the first segment of a blob whose first byte is wrong, so many times."""

    def begin(times):
        memory = origin(FILES)
        memory.lie("big.bin", times)
        memory.hold("big.bin", SEGMENT + MIB - 100)
        cluster = swarm(memory)
        nodes = cluster.several(2, "memory://model")
        for node in nodes:
            node.until("segment.finished", 2)
        memory.let_go()
        return memory, nodes

    return begin


def test_a_blob_that_was_wrong_once_is_taken_back_and_comes_right(both):
    memory, nodes = both(1)
    for node in nodes:
        node.done()
        assert tree(node.output) == FILES
        told = [*node.warnings, *(retry.cause for retry in node.named("retrying"))]
        assert any("wrong" in text or "once more" in text for text in told)
        placed = [event.path for event in node.named("file.finished")]
        assert sorted(placed) == sorted(FILES)
    assert memory.sent["big.bin"] == 2 * len(FILES["big.bin"])


def test_a_blob_that_is_wrong_twice_is_an_error_on_every_node_and_nowhere_a_file(both):
    _, nodes = both(2)
    for node in nodes:
        error = node.error()
        assert isinstance(error, IntegrityError)
        assert error.exit_code == 10
        assert "big.bin" in error.message
        assert error.hint
        assert not (node.output / "big.bin").exists()
        assert not any(data == FILES["big.bin"] for data in tree(node.output).values())


def test_a_small_file_that_was_wrong_once_never_leaves_the_seed_peer(origin, swarm):
    memory = origin(FILES)
    memory.lie("b.json")
    nodes = swarm(memory).several(2, "memory://model")
    for node in nodes:
        node.done()
        assert tree(node.output) == FILES
        assert node.warnings == []


def test_a_small_file_that_is_wrong_twice_is_an_error_on_every_node(origin, swarm):
    memory = origin(FILES)
    memory.lie("b.json", 2)
    memory.hold("b.json", 0)
    nodes = swarm(memory).several(2, "memory://model")
    for node in nodes:
        node.until("snapshot.resolved")
    memory.let_go()
    for node in nodes:
        error = node.error()
        assert isinstance(error, IntegrityError)
        assert "b.json" in error.message
        assert not (node.output / "b.json").exists()


def test_after_the_origin_is_mended_the_same_command_succeeds(origin, swarm):
    memory = origin(FILES)
    memory.lie("big.bin", 2)
    cluster = swarm(memory)
    node = cluster.node("memory://model")
    assert isinstance(node.error(), IntegrityError)
    again = cluster.node("memory://model", output=node.output)
    again.done()
    assert tree(node.output) == FILES
