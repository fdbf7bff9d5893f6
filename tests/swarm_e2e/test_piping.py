"""One file to standard output: from a seed peer, while it arrives there, and from the source only where that may be asked."""

import contextlib
import io

import pytest

import dfly
from dfly.config import Joining
from dfly.plugins import Plugins
from dfly.testing.swarm import small_swarm

from .files import MIB, some_bytes

BIG = some_bytes(21 * MIB + 5)
FILES = {"big.bin": BIG, "empty": b""}
NOWHERE = "http://127.0.0.1:9"


def to_pipe(cluster, path, **given):
    sink = io.BytesIO()
    return cluster.node(f"memory://model/{path}", output="-", recursive=False, stdout=sink, **given), sink


def test_a_seed_peer_serves_pipes_and_the_origin_sends_once(origin, swarm):
    memory = origin(FILES)
    cluster = swarm(memory)
    for node, sink in [to_pipe(cluster, "big.bin", joining={"back_to_source": False}) for _ in range(2)]:
        report = node.done()
        assert sink.getvalue() == BIG
        assert report.sources == {"seed-peer": len(BIG)}
        assert (report.bytes, report.output) == (len(BIG), "-")
        assert [event.digest is not None for event in node.named("file.verified")] == [True]
    assert memory.total == len(BIG)


def test_a_pipe_has_its_first_bytes_while_the_origin_still_sends(origin, swarm):
    memory = origin(FILES)
    memory.hold("big.bin", 8 * MIB)
    node, sink = to_pipe(swarm(memory), "big.bin")
    node.until("bytes.arrived")
    assert 0 < len(sink.getvalue()) <= memory.total <= 8 * MIB
    memory.let_go()
    node.done()
    assert sink.getvalue() == BIG


def test_an_empty_file_is_no_byte_of_a_pipe(origin, swarm):
    node, sink = to_pipe(swarm(origin(FILES)), "empty", joining={"back_to_source": False})
    assert (node.done().files, sink.getvalue()) == (1, b"")


def test_wrong_bytes_do_not_come_to_an_end_in_a_pipe(origin, swarm):
    memory = origin(FILES)
    memory.lie("big.bin", 99)
    node, sink = to_pipe(swarm(memory), "big.bin", joining={"back_to_source": False})
    assert isinstance(node.error(), dfly.IntegrityError)
    assert len(sink.getvalue()) < len(BIG)


class Cutting(io.BytesIO):
    """Ends the seed peer at the first byte."""

    def __init__(self, end):
        super().__init__()
        self.end = end

    def write(self, chunk):
        self.end()
        return super().write(chunk)


@pytest.mark.parametrize("back_to_source", [True, False])
def test_a_seed_peer_that_is_lost_in_the_middle_is_gone_on_without_where_that_may_be(origin, tmp_path, back_to_source):
    memory = origin(FILES)
    plugins = Plugins(extra=[memory.backend])
    said = []
    with contextlib.ExitStack() as running:
        peer = running.enter_context(small_swarm(tmp_path, plugins=plugins))
        sink = Cutting(running.close)
        given = {
            "stdout": sink,
            "plugins": plugins,
            "joining": Joining(seed_peers=(peer.url,), patience=0.5, back_to_source=back_to_source),
            "on_event": said.append,
        }
        if not back_to_source:
            with pytest.raises(dfly.SwarmError):
                dfly.fetch("memory://model/big.bin", "-", **given)
            assert sink.getvalue() == BIG[: len(sink.getvalue())]
            return
        report = dfly.fetch("memory://model/big.bin", "-", **given)
    assert sink.getvalue() == BIG
    assert set(report.sources) == {"seed-peer", "hub"}
    assert sum(report.sources.values()) == len(BIG)
    (warning,) = [event.message for event in said if event.name == "warning"]
    assert "going back to the source" in warning


@pytest.mark.parametrize("seed_peers", [(), (NOWHERE,)])
def test_the_source_is_left_alone_where_it_may_not_be_asked(origin, tmp_path, seed_peers):
    memory = origin(FILES)
    joining = Joining(seed_peers=seed_peers, back_to_source=False)
    for output in ("-", str(tmp_path / "out")):
        with pytest.raises(dfly.SwarmError, match="seed peer") as error:
            dfly.fetch(
                "memory://model/big.bin",
                output,
                stdout=io.BytesIO(),
                joining=joining,
                plugins=Plugins(extra=[memory.backend]),
            )
        assert "--seed-peer" in error.value.hint
    for ask in (dfly.open, dfly.snapshot):
        with pytest.raises(dfly.SwarmError):
            ask("memory://model/big.bin", joining=joining, plugins=Plugins(extra=[memory.backend]))
    assert (memory.total, memory.asked) == (0, {})


def test_what_has_no_size_comes_from_its_source_if_at_all(origin, swarm):
    memory = origin({"big.bin": BIG[:MIB]}, sizes=False)
    cluster = swarm(memory)
    node, sink = to_pipe(cluster, "big.bin")
    assert node.done().sources == {"hub": MIB}
    assert sink.getvalue() == BIG[:MIB]
    node, sink = to_pipe(cluster, "big.bin", joining={"back_to_source": False})
    assert "to a file" in node.error().hint
