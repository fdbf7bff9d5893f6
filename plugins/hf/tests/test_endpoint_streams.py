"""A file is read through a daemon's endpoint while it arrives, and nobody waits for more of it than they read."""

import asyncio
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from dfly.plugins import Plugins
from dfly.testing.hub import bodies
from dfly.testing.swarm import small_swarm
from dfly_hf.testing import FixtureHub

from .daemons import daemon

MIB = 1 << 20
SIZE = 48 * MIB
LONG = 60.0


class Gate:
    """Lets a hub's storage send bytes up to `limit` and from `beyond` on, and holds back the others until `open`ed."""

    def __init__(self, limit: int, beyond: int) -> None:
        self.limit, self.beyond = limit, beyond
        self.held = threading.Event()
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    async def passes(self, at: int, *, gone: Callable[[], bool]) -> None:
        while self.limit <= at < self.beyond and not self._opened.is_set():
            self.held.set()
            if gone():
                raise ConnectionResetError("gone")
            await asyncio.sleep(0.01)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    block = hashlib.sha256(b"x").digest() * (MIB // 32)
    with path.open("wb") as file:
        for number in range(SIZE // MIB):
            file.write(number.to_bytes(4, "big") + block[4:])
    return path


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Gate]]:
    gates: list[Gate] = []

    def make(limit: int, beyond: int = SIZE) -> Gate:
        made = Gate(limit, beyond)
        gates.append(made)

        async def send(self: bodies.Body, file, start: int, stop: int) -> None:
            loop, request = asyncio.get_running_loop(), self.request

            def gone() -> bool:
                return request.transport is None or request.transport.is_closing()

            for at in range(start, stop, MIB // 4):
                await made.passes(at, gone=gone)
                if gone():
                    raise ConnectionResetError("gone")
                count = min(MIB // 4, stop - at)
                self.call.bytes += count
                await loop.sendfile(request.transport, file, at, count)

        monkeypatch.setattr(bodies.Body, "_sendfile", send)
        return made

    yield make
    for made in gates:
        made.open()


@pytest.fixture(params=["alone", "swarm"])
def endpoint(
    request: pytest.FixtureRequest, hub: FixtureHub, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    hub.repo("owner/name", {"model.safetensors": large, "config.json": b"{}"})
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    if request.param == "alone":
        with daemon(tmp_path / "node") as url:
            yield f"{url}/owner/name/resolve/main/model.safetensors"
        return
    with (
        small_swarm(tmp_path, plugins=Plugins()) as swarm,
        daemon(tmp_path / "node", seed_peers=(swarm.url,)) as url,
    ):
        yield f"{url}/owner/name/resolve/main/model.safetensors"


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=LONG) as opened:
        yield opened


def test_the_first_bytes_come_while_the_hub_holds_back_the_rest(
    gate: Callable[..., Gate], endpoint: str, client: httpx.Client, large: Path
) -> None:
    shut = gate(24 * MIB)
    content, got = large.read_bytes(), bytearray()
    with client.stream("GET", endpoint) as response:
        assert response.headers["Content-Length"] == str(SIZE)
        for chunk in response.iter_raw():
            got += chunk
            if len(got) >= 16 * MIB:
                assert shut.held.wait(LONG)
                shut.open()
    assert bytes(got) == content


@pytest.mark.parametrize(
    "asked", ["bytes=-1000", f"bytes={SIZE - 9 * MIB}-{SIZE - 8 * MIB}"], ids=["footer", "stretch"]
)
def test_a_range_is_answered_before_the_middle_has_been_fetched(
    gate: Callable[..., Gate], endpoint: str, client: httpx.Client, large: Path, hub: FixtureHub, asked: str
) -> None:
    gate(8 * MIB, SIZE - 16 * MIB)
    got = client.get(endpoint, headers={"Range": asked})
    start, _, stop = got.headers["Content-Range"].removeprefix("bytes ").partition("/")[0].partition("-")
    assert got.content == large.read_bytes()[int(start) : int(stop) + 1]
    assert hub.records.bytes_sent("model.safetensors") < SIZE


def under_way(daemon_socket: Path) -> list[object]:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(daemon_socket)), timeout=LONG) as asking:
        found: list[object] = asking.get("http://node/v1/operator/status").json()["tasks"]
        return found


def test_when_the_last_reader_leaves_the_fetch_ends(
    gate: Callable[..., Gate], hub: FixtureHub, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repo("owner/name", {"model.safetensors": large})
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setattr("dfly.daemon.bringing.LINGER", 0.1)
    monkeypatch.setattr("dfly.daemon.reading._LOOK", 0.1)
    shut = gate(0)
    with daemon(tmp_path / "node") as url:
        with socket.create_connection((httpx.URL(url).host, httpx.URL(url).port)) as reader:
            place = "/hf/owner/name/resolve/main/model.safetensors"
            reader.sendall(f"GET {place} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
            assert shut.held.wait(LONG)
            assert under_way(tmp_path / "node/s")
        deadline = time.monotonic() + LONG
        while under_way(tmp_path / "node/s"):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_whoever_reads_the_same_file_shares_what_is_fetched(
    endpoint: str, client: httpx.Client, large: Path, hub: FixtureHub
) -> None:
    got: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: got.append(httpx.get(endpoint, trust_env=False, timeout=LONG).content))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {hashlib.sha256(each).digest() for each in got} == {hashlib.sha256(large.read_bytes()).digest()}
    assert hub.records.bytes_sent("model.safetensors") == SIZE


def test_wrong_bytes_never_end_well_and_the_next_read_has_the_right_ones(
    endpoint: str, client: httpx.Client, large: Path, hub: FixtureHub
) -> None:
    # the first connection that the hub's storage answers sends a wrong byte, which only the whole file's digest tells
    hub.fault("cdn", "model.safetensors", flip=True)
    got = _until_it_breaks(client, endpoint)
    # either it broke, or it was found and mended before anything wrong had been sent
    assert len(got) < SIZE or got == large.read_bytes()
    assert client.get(endpoint).content == large.read_bytes()


def test_bytes_that_stay_wrong_are_an_error_and_are_not_kept(
    endpoint: str, client: httpx.Client, hub: FixtureHub, tmp_path: Path
) -> None:
    hub.fault("cdn", "model.safetensors", flip=True, times=None)
    for _ in range(2):
        assert len(_until_it_breaks(client, endpoint)) < SIZE
    assert not list((tmp_path / "node/blobs").rglob("meta"))


def _until_it_breaks(client: httpx.Client, url: str) -> bytes:
    got = bytearray()
    try:
        with client.stream("GET", url) as response:
            for chunk in response.iter_raw():
                got += chunk if response.status_code == 200 else b""
    except httpx.HTTPError:
        pass
    return bytes(got)
