"""Blobs, sessions and a web seed on loopback, and a listener that waits for events."""

import asyncio
import hashlib
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp import web

from dfly.layout import Layout
from dfly.swarm import (
    SegmentKey,
    SegmentReadable,
    Swarm,
    SwarmEvent,
    SwarmSettings,
    WholeKey,
    WholeReadable,
    piece_hash,
)

PATIENCE = 60.0


@attrs.frozen
class Blob:
    """Content, and what the swarm needs to know of it."""

    data: bytes = attrs.field(repr=False)
    layout: Layout = attrs.field(init=False)
    id: str = attrs.field(init=False)

    @layout.default
    def _layout(self) -> Layout:
        return Layout(len(self.data))

    @id.default  # noqa: A003
    def _id(self) -> str:
        return "sha256-" + hashlib.sha256(self.data).hexdigest()

    def piece(self, index: int) -> bytes:
        start, stop = self.layout.piece_range(index)
        return self.data[start:stop]

    def segment(self, index: int) -> bytes:
        start, stop = self.layout.segment_range(index)
        return self.data[start:stop]

    def hashes(self, index: int) -> bytes:
        return b"".join(piece_hash(self.piece(p)) for p in self.layout.segment_pieces(index))

    @property
    def all_hashes(self) -> bytes:
        return b"".join(self.hashes(s) for s in range(self.layout.segments))


def blob_of(size: int) -> Blob:
    """The same bytes every time, different for every size."""
    return Blob(random.Random(size).randbytes(size))


class Node:
    """A session with its folder; collects events."""

    def __init__(self, folder: Path, settings: SwarmSettings) -> None:
        folder.mkdir()
        self.path = str(folder / "data")
        self.seen: list[SwarmEvent] = []
        self.on_event: Callable[[SwarmEvent], None] = lambda event: None
        self._inbox: queue.SimpleQueue[SwarmEvent] = queue.SimpleQueue()
        self.swarm = Swarm(settings, on_event=self._take)
        self.host = settings.interfaces[0]

    def _take(self, event: SwarmEvent) -> None:
        self.on_event(event)
        self._inbox.put(event)

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.swarm.port

    def wait(self, wanted: Callable[[SwarmEvent], bool]) -> SwarmEvent:
        """The next event that is wanted; earlier ones count too."""
        for event in self.seen:
            if wanted(event):
                return event
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                event = self._inbox.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"did not happen; seen: {self.seen[-10:]}") from None
            self.seen.append(event)
            if wanted(event):
                return event

    def wait_kind(self, kind: type) -> Any:
        return self.wait(lambda event: isinstance(event, kind))

    def wait_segment(self, blob: Blob, index: int) -> None:
        self.wait(lambda event: event == SegmentReadable(SegmentKey(blob.id, index)))

    def wait_whole(self, blob: Blob) -> None:
        self.wait(lambda event: event == WholeReadable(WholeKey(blob.id)))

    def drain(self) -> list[SwarmEvent]:
        """Everything that has happened so far."""
        while not self._inbox.empty():
            self.seen.append(self._inbox.get())
        return self.seen

    def add(self, blob: Blob, index: int, **given: Any) -> SegmentKey:
        return self.swarm.add_segment(blob.id, blob.layout, index, blob.hashes(index), path=self.path, **given)

    def hold(self, blob: Blob, data: bytes | None = None) -> None:
        """Put the blob's bytes (or wrong ones) into the file."""
        Path(self.path).write_bytes(blob.data if data is None else data)

    def read(self, start: int, stop: int) -> bytes:
        with open(self.path, "rb") as file:
            return os.pread(file.fileno(), stop - start, start)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Makes nodes, each on a loopback address of its own unless told otherwise; `friendly` ones let all others in."""
    made: list[Node] = []

    def make(*, friendly: bool = True, **given: Any) -> Node:
        number = len(made) + 2
        given.setdefault("interfaces", (f"127.0.0.{number}",))
        node = Node(tmp_path / f"node{number}", SwarmSettings(**given))
        made.append(node)
        if friendly:
            node.swarm.allow(f"127.0.0.{host}" for host in range(2, 12))
        return node

    yield make
    for node in made:
        node.swarm.close()


class WebSeed:
    """Serves one blob the way a seed peer does: a path-only URL, ranges, always 206."""

    def __init__(self, blob: Blob) -> None:
        self.blob = blob
        self.sent = 0
        self.refuse = 0
        self.asked = threading.Event()
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE)

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        app = web.Application()
        app.router.add_get("/v1/blobs/grant/{id}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/v1/blobs/grant/{self.blob.id}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.set()
        if self.refuse:
            self.refuse -= 1
            return web.Response(status=503)
        span = request.http_range
        body = self.blob.data[span.start : span.stop]
        self.sent += len(body)
        last = span.start + len(body) - 1
        return web.Response(
            status=206, body=body, headers={"Content-Range": f"bytes {span.start}-{last}/{len(self.blob.data)}"}
        )

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        self._loop.close()


@pytest.fixture
def web_seed() -> Iterator[Callable[[Blob], WebSeed]]:
    """Starts web seeds."""
    made: list[WebSeed] = []

    def start(blob: Blob) -> WebSeed:
        made.append(WebSeed(blob))
        return made[-1]

    yield start
    for seed in made:
        seed.close()
