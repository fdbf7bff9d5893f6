"""`dfly.open`: what is read arrives, and nothing else; from whoever is nearest, and right."""

import asyncio
import contextlib
import hashlib
import io
import logging
import os
import signal
import threading
from types import SimpleNamespace

import pytest

import dfly
from dfly.config import Joining
from dfly.layout import GIB, MIB, Layout
from dfly.node import published
from dfly.node.streamed import MEMORY, SMALLEST
from dfly.plugins import Plugins
from dfly.testing.lent import QUICK
from dfly.testing.swarm import small_swarm
from dfly_hf.testing.content import File
from tests.swarm_e2e.files import some_bytes
from tests.swarm_e2e.origin import Origin

BIG = some_bytes(21 * MIB + 5)


class HoldingBack(Origin):
    """Sends nothing of `[first, last)` until it is let go."""

    def __init__(self, files, first, last):
        super().__init__(files)
        self.first, self.last = first, last

    def send(self, path, at, chunk):
        self._allowed = {path: at} if self.first <= at < self.last else {}
        return super().send(path, at, chunk)

    def let_go(self):
        self.first = self.last
        super().let_go()


@pytest.fixture
def gigabyte(tmp_path):
    """A sparse file of 1 GiB with a footer."""
    path = tmp_path / "gigabyte"
    with path.open("wb") as file:
        file.truncate(GIB)
        file.seek(-8, os.SEEK_END)
        file.write(b"the end.")
    return path


@pytest.fixture
def origin():
    made = Origin({"big.bin": BIG, "empty": b""})
    yield made
    made.let_go()


def test_the_last_8_bytes_of_a_gigabyte_arrive_without_the_rest(hub, gigabyte):
    hub.repo("owner/name", {"model.safetensors": File.of(gigabyte, sha256="0" * 64)})
    with dfly.open("hf://owner/name/model.safetensors") as file:
        file.seek(-8, os.SEEK_END)
        assert file.read() == b"the end."
        assert (file.size, file.way) == (GIB, "hub")
    assert hub.records.bytes_sent() <= SMALLEST


def test_a_seed_peer_brings_the_last_8_bytes_of_a_gigabyte_before_the_rest(swarm):
    layout = Layout(len(BIG))
    last, _ = layout.segment_range(layout.segments - 1)
    held = HoldingBack({"big.bin": BIG}, 0, last)
    plugins = Plugins(extra=[held.backend])
    peer = swarm(plugins)
    with dfly.open("memory://model/big.bin", seed_peers=[peer.url], plugins=plugins) as file:
        file.seek(-8, os.SEEK_END)
        assert file.read() == BIG[-8:]
        assert file.way == "seed-peer"
        assert held.total == len(BIG) - last
        held.let_go()


def test_all_of_a_file_is_what_it_is_by_each_way(swarm, origin):
    plugins = Plugins(extra=[origin.backend])
    peer = swarm(plugins)
    for seed_peers, way in ((), "hub"), ([peer.url], "seed-peer"):
        with dfly.open("memory://model/big.bin", seed_peers=seed_peers, plugins=plugins) as file:
            assert file.way == way
            assert file.read() == BIG
            file.seek(5 * MIB)
            assert file.read(10) == BIG[5 * MIB :][:10]
    assert origin.total < 2.1 * len(BIG) + MIB


def test_an_empty_file_and_one_read_past_its_end_give_nothing(origin, swarm):
    plugins = Plugins(extra=[origin.backend])
    for seed_peers in ((), [swarm(plugins).url]):
        with dfly.open("memory://model/empty", seed_peers=seed_peers, plugins=plugins) as file:
            assert file.read() == b""
            assert file.seek(100) == 100
            assert file.read(1) == b""


def test_it_is_a_file_as_pythons_are(plugins):
    with dfly.open("memory://tiny/model.bin", plugins=plugins) as file:
        assert isinstance(file, io.BufferedReader)
        assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
        assert file.name.startswith("memory://tiny@")
        assert file.peek(2)[:2] == file.read(2)
        assert file.tell() == 2
        with pytest.raises(ValueError, match="start"):
            file.seek(-1)
        with pytest.raises(ValueError, match="whence"):
            file.seek(0, 7)
    with pytest.raises(ValueError, match="closed"):
        file.read()
    file.close()


def test_it_holds_no_more_in_memory_than_it_says(origin):
    seen = []
    with dfly.open("memory://model/big.bin", plugins=Plugins(extra=[origin.backend])) as file:
        while file.read(MIB):
            seen.append(sum(window.stop - window.start for window in file.raw._windows))
    assert 0 < max(seen) <= MEMORY


def test_wrong_bytes_are_told_of_before_the_last_of_them_is_handed_out(origin):
    origin.lie("big.bin", 1)
    with dfly.open("memory://model/big.bin", plugins=Plugins(extra=[origin.backend])) as file:
        assert file.read(len(BIG) - MIB) == bytes([BIG[0] ^ 0xFF]) + BIG[1:-MIB]
        with pytest.raises(dfly.IntegrityError):
            file.read()


def test_where_the_seed_peer_is_lost_the_source_goes_on(swarm, origin, tmp_path):
    plugins = Plugins(extra=[origin.backend])
    said = []
    joining = Joining(seed_peers=("http://127.0.0.1:9",))
    with dfly.open("memory://model/big.bin", joining=joining, plugins=plugins, on_event=said.append) as file:
        assert file.read(4) == BIG[:4]
        assert file.way == "hub"
    assert [event.name for event in said] == ["warning"]


def test_a_seed_peer_that_ends_in_the_middle_costs_no_byte(origin, tmp_path):
    plugins = Plugins(extra=[origin.backend])
    said = []
    with contextlib.ExitStack() as running:
        peer = running.enter_context(small_swarm(tmp_path, plugins=plugins))
        joining = Joining(seed_peers=(peer.url,), patience=0.5)
        with dfly.open("memory://model/big.bin", joining=joining, plugins=plugins, on_event=said.append) as file:
            first = file.read(MIB)
            assert file.way == "seed-peer"
            running.close()
            assert first + file.read() == BIG
            assert file.way == "hub"
    assert [event.name for event in said] == ["warning"]


def test_without_back_to_source_a_lost_seed_peer_is_an_error(origin):
    joining = Joining(seed_peers=("http://127.0.0.1:9",), back_to_source=False)
    with pytest.raises(dfly.SwarmError):
        dfly.open("memory://model/big.bin", joining=joining, plugins=Plugins(extra=[origin.backend]))


def test_a_seed_peer_that_sends_wrong_bytes_is_given_up(swarm, origin, monkeypatch):
    # its own module's name only: the seed peer hashes too
    lying = SimpleNamespace(sha1=lambda piece, **how: hashlib.sha1(b"another", **how))
    monkeypatch.setattr(published, "hashlib", lying)
    plugins = Plugins(extra=[origin.backend])
    peer = swarm(plugins)
    said = []
    with dfly.open("memory://model/big.bin", seed_peers=[peer.url], plugins=plugins, on_event=said.append) as file:
        assert file.read(4) == BIG[:4]
        assert file.way == "hub"
    assert "wrong bytes" in said[-1].message


def test_cancel_ends_a_read_that_waits(origin):
    origin.hold("big.bin", 0)
    cancel = threading.Event()
    with dfly.open("memory://model/big.bin", plugins=Plugins(extra=[origin.backend]), cancel=cancel) as file:
        threading.Timer(0.05, cancel.set).start()
        with pytest.raises(dfly.Cancelled):
            file.read(1)


def test_a_read_that_failed_can_be_tried_again(origin):
    plugins = Plugins(extra=[origin.backend])
    with dfly.open("memory://model/big.bin", plugins=plugins, patience=QUICK) as file:
        origin.away = True
        with pytest.raises(dfly.OriginUnavailable):
            file.read(4)
        origin.away = False
        assert file.read(4) == BIG[:4]


def test_a_folder_cannot_be_opened(plugins):
    with pytest.raises(dfly.NotAFile):
        dfly.open("memory://tiny", plugins=plugins)


def test_a_file_of_unknown_size_is_read_all_the_same():
    made = Origin({"big.bin": BIG}, sizes=False)
    with dfly.open("memory://model/big.bin", plugins=Plugins(extra=[made.backend])) as file:
        assert file.size == len(BIG)
        file.seek(-8, os.SEEK_END)
        assert file.read() == BIG[-8:]
    assert made.total == len(BIG)


def test_threads_and_asyncio_read_at_once_and_nothing_else_of_the_process_changes(plugins):
    before = (signal.getsignal(signal.SIGINT), logging.getLogger().handlers[:], logging.getLogger().level)

    def read() -> bytes:
        with dfly.open("memory://tiny/model.bin", plugins=plugins) as file:
            return file.read()

    async def all_of_them() -> list[bytes]:
        return await asyncio.gather(*(asyncio.to_thread(read) for _ in range(8)))

    assert set(asyncio.run(all_of_them())) == {b"0123456789abcdefthe end."}
    assert (signal.getsignal(signal.SIGINT), logging.getLogger().handlers[:], logging.getLogger().level) == before


def test_a_snapshot_tells_what_there_is_and_brings_nothing(origin, swarm):
    plugins = Plugins(extra=[origin.backend])
    for seed_peers in ((), [swarm(plugins).url]):
        found = dfly.snapshot("memory://model", include=["*.bin"], seed_peers=seed_peers, plugins=plugins)
        assert [(entry.path, entry.size) for entry in found.entries] == [("big.bin", len(BIG))]
    assert origin.total == 0


def test_the_environment_names_seed_peers_as_it_does_for_dfget(origin, swarm, monkeypatch):
    plugins = Plugins(extra=[origin.backend])
    monkeypatch.setenv("DFLY_SEED_PEERS", swarm(plugins).url)
    with dfly.open("memory://model/big.bin", plugins=plugins) as file:
        assert file.way == "seed-peer"
    assert dfly.fetch("memory://model", "out/", recursive=True, plugins=plugins).sources.get("hub", 0) == 0


def test_a_private_file_opens_to_its_token_only(swarm):
    private = Origin({"big.bin": BIG}, token="secret")
    plugins = Plugins(extra=[private.backend])
    peer = swarm(plugins)
    with pytest.raises(dfly.AccessDenied):
        dfly.open("memory://model/big.bin", seed_peers=[peer.url], plugins=plugins)
    options = {"memory": {"token": "secret"}}
    with dfly.open("memory://model/big.bin", seed_peers=[peer.url], plugins=plugins, options=options) as file:
        assert file.read(3) == BIG[:3]
        assert file.way == "seed-peer"
