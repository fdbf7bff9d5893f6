"""Seed peers that are away, die or stop; nodes that are killed, stopped, cancelled or out of time."""

import os
import signal

import pytest

from dfly.errors import Cancelled, SwarmError, TimedOut

from .files import MIB, SEGMENT, size_of, some_bytes, tree

FILES = {"model.safetensors": some_bytes(3 * SEGMENT), "config.json": b"{}", "vocab.json": b"[]"}
NOWHERE = "http://127.0.0.1:9"
IMPATIENT = {"patience": 1.0, "settle": 0.1}


def test_without_its_seed_peer_a_node_says_so_and_goes_back_to_the_source(origin, swarm):
    memory = origin(FILES)
    node = swarm(memory).node("memory://model", joining={"seed_peers": (NOWHERE,)})
    report = node.done()
    assert tree(node.output) == FILES
    assert report.sources == {"hub": size_of(FILES)}
    (warning,) = node.warnings
    assert NOWHERE in warning
    assert "going back to the source" in warning


def test_where_the_source_is_not_allowed_a_missing_seed_peer_is_an_error_with_a_hint(origin, swarm):
    memory = origin(FILES)
    node = swarm(memory).node("memory://model", joining={"seed_peers": (NOWHERE,), "back_to_source": False})
    error = node.error()
    assert isinstance(error, SwarmError)
    assert error.exit_code == 12
    assert "--seed-peer" in error.hint
    assert memory.total == 0
    assert not node.output.exists()


def test_the_next_seed_peer_is_asked_where_one_is_missing(origin, swarm):
    memory = origin(FILES)
    cluster = swarm(memory)
    for seed_peers in ((NOWHERE, cluster.url), (cluster.url, NOWHERE)):
        node = cluster.node("memory://model", joining={"seed_peers": seed_peers, "back_to_source": False})
        node.done()
        assert tree(node.output) == FILES


@pytest.fixture
def held_model(hub):
    """A model of which a third is held back, so that there is a middle to do something in."""
    hub.repo("owner/model", FILES)
    hub.hold("model.safetensors", 2 * SEGMENT + MIB)
    return hub


def test_a_seed_peer_that_is_killed_in_the_middle_is_not_needed_any_more(held_model, swarm, seed_process):
    process, url = seed_process("--log-level", "error")
    cluster = swarm()
    node = cluster.node("hf://owner/model", joining={"seed_peers": (url,), **IMPATIENT})
    node.until("segment.finished", 2)
    process.kill()
    held_model.let_go()
    node.done()
    assert tree(node.output) == FILES
    # the seed peer had asked for all of it at most, and what had come here was not asked for again
    assert held_model.records.bytes_sent() <= 2 * size_of(FILES) - SEGMENT


def test_a_seed_peer_that_is_killed_is_an_error_where_the_source_is_not_allowed(held_model, swarm, seed_process):
    process, url = seed_process("--log-level", "error")
    node = swarm().node("hf://owner/model", joining={"seed_peers": (url,), "back_to_source": False, **IMPATIENT})
    node.until("segment.finished", 2)
    process.kill()
    error = node.error()
    assert isinstance(error, SwarmError)
    assert "run the same command again" in error.hint
    assert not (node.output / "model.safetensors").exists()


def test_a_seed_peer_that_freezes_is_not_waited_for(origin, swarm, hub, seed_process):
    hub.repo("owner/model", FILES)
    process, url = seed_process("--log-level", "error")
    cluster = swarm()
    cluster.node("hf://owner/model", "first", joining={"seed_peers": (url,)}).done()
    node = cluster.node("hf://owner/model", joining={"seed_peers": (url,), **IMPATIENT})
    node.until("file.started")
    process.send_signal(signal.SIGSTOP)
    node.done()
    assert tree(node.output) == FILES


def test_a_killed_node_goes_on_where_it_was_and_gives_what_it_had(held_model, start, seed_process, tmp_path):
    _, url = seed_process("--log-level", "error")
    argv = ("hf://owner/model", "-O", tmp_path / "node", "-r", "--seed-peer", url, "--json")
    killed = start("dfget", *argv)
    for _ in range(3):
        killed.until("segment.finished")
    killed.kill()
    killed.wait()
    assert not (tmp_path / "node" / "model.safetensors").exists()
    held_model.let_go()
    events = start("dfget", *argv).rest()
    assert events[-1]["event"] == "task.finished"
    assert tree(tmp_path / "node") == FILES
    (started,) = [e for e in events if e["event"] == "file.started" and e["path"] == "model.safetensors"]
    assert started["had"] >= 2 * SEGMENT
    arrived = sum(e["bytes"] for e in events if e["event"] == "bytes.arrived" and e["path"] == "model.safetensors")
    assert arrived + started["had"] == len(FILES["model.safetensors"])
    assert held_model.records.bytes_sent() == size_of(FILES)


def test_a_stopped_node_holds_up_nobody(held_model, start, swarm, tmp_path):
    cluster = swarm()
    argv = ("hf://owner/model", "-O", tmp_path / "stopped", "-r", "--seed-peer", cluster.url, "--json")
    stopped = start("dfget", *argv)
    stopped.until("segment.finished")
    others = cluster.several(2, "hf://owner/model", joining={"patience": 3.0, "seed_time": 0.2})
    for node in others:
        node.until("segment.finished")
    stopped.send_signal(signal.SIGSTOP)
    held_model.let_go()
    for node in others:
        assert node.done().sources.get("hub", 0) == 0
        assert tree(node.output) == FILES
    stopped.send_signal(signal.SIGCONT)
    assert stopped.rest()[-1]["event"] == "task.finished"
    assert tree(tmp_path / "stopped") == FILES
    assert held_model.records.bytes_sent() == size_of(FILES)


def test_ctrl_c_ends_a_node_and_the_next_run_goes_on(origin, swarm):
    memory = origin(FILES)
    memory.hold("model.safetensors", 2 * SEGMENT + MIB)
    cluster = swarm(memory)
    node = cluster.node("memory://model")
    node.until("segment.finished", 3)
    node.cancel.set()
    assert isinstance(node.error(), Cancelled)
    assert not (node.output / "model.safetensors").exists()
    memory.let_go()
    again = cluster.node("memory://model", output=node.output)
    again.done()
    assert tree(again.output) == FILES
    assert memory.total == size_of(FILES)
    assert [event.had for event in again.named("file.started")] == [2 * SEGMENT]


def test_ctrl_c_exits_with_130(held_model, start, swarm, tmp_path):
    url = swarm().url
    node = start("dfget", "hf://owner/model", "-O", tmp_path / "node", "-r", "--seed-peer", url, "--json")
    node.until("segment.finished")
    node.send_signal(signal.SIGINT)
    node.rest()
    assert node.wait() == 130


def test_a_node_that_is_out_of_time_says_so(origin, swarm):
    memory = origin(FILES)
    memory.hold("model.safetensors", SEGMENT)
    node = swarm(memory).node("memory://model", timeout=0.5)
    error = node.error()
    assert isinstance(error, TimedOut)
    assert error.exit_code == 13


def test_a_seed_peer_that_does_not_answer_is_not_waited_for_beyond_the_time_given(hub, swarm, seed_process):
    hub.repo("owner/model", FILES)
    process, url = seed_process("--log-level", "error")
    os.kill(process.pid, signal.SIGSTOP)
    node = swarm().node("hf://owner/model", timeout=0.3, joining={"seed_peers": (url,)})
    assert isinstance(node.error(), TimedOut)
