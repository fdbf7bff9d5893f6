"""Watches until everything of a task is on this seed peer's disk: it listens to the task's event stream as nodes do.

So it hears what they hear, failures and withdrawals included, and takes no place in the ring. What it heard is looked at once
more in the end: complete is what the mirror says is complete.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Mapping

from dfly.layout import Layout
from dfly.seed.mirroring import Mirror
from dfly.seed.stream import unframed
from dfly.seed.task import Task
from dfly.wire import Blob, Failed, Message, Segment, decode_message

#: Times that it listens again where what it was told is not so.
_MOST_LOOKS = 3


class Warming:
    """One task's way to this machine. `failed` says by blob why what is not here cannot be had."""

    def __init__(self, task: Task, mirror: Mirror) -> None:
        self._task, self._mirror = task, mirror
        self._sizes = task.freight.sizes()
        self._missing = set(self._sizes)
        self._segments: dict[str, set[int]] = {}
        self._arrived: Counter[str] = Counter()
        self._carried: dict[tuple[str, int], int] = {}
        self._began_with = mirror.hub_bytes
        self.failed: dict[str, Failed] = {}

    @property
    def bytes(self) -> int:
        """Bytes of the task that are here."""
        return sum(self._arrived.values())

    @property
    def total(self) -> int | None:
        """Bytes of all of it; None while nobody knows."""
        sizes = [self._arrived[blob] if self._is_here(blob) else size for blob, size in self._sizes.items()]
        return None if None in sizes else sum(size or 0 for size in sizes)

    @property
    def sources(self) -> Mapping[str, int]:
        """Where these bytes came from: origins, as far as they have sent anything meanwhile, then nodes; the rest was here."""
        hub = min(self.bytes, self._mirror.hub_bytes - self._began_with)
        peer = min(self.bytes - hub, sum(self._carried.values()))
        found = {"hub": hub, "peer": peer, "cache": self.bytes - hub - peer}
        return {source: count for source, count in found.items() if count}

    def paths(self, blob: str) -> list[str]:
        """The files that a blob is, or holds."""
        freight = self._task.freight
        if freight.pack is not None and blob == freight.pack.blob:
            return [entry.path for entry in freight.pack.entries]
        return [entry.path for content, entry in freight.ids if content == blob]

    async def run(self, changed: Callable[[], None]) -> None:
        """Return when every blob is here or has failed; `changed` is called whenever there is news."""
        self._task.wanted_here += 1
        try:
            # nodes may have brought it here from another seed peer, and left again
            if self._task.abandoned:
                self._task.abandoned = False
                await asyncio.to_thread(self._mirror.let_go, self._task.freight)
            await self._run(changed)
        finally:
            self._task.wanted_here -= 1

    async def _run(self, changed: Callable[[], None]) -> None:
        for _ in range(_MOST_LOOKS):
            await self._listen(changed)
            states = await asyncio.to_thread(lambda: {b: self._mirror.state(b).complete for b in self._sizes})
            self._missing = {blob for blob, complete in states.items() if not complete and blob not in self.failed}
            if not self._missing:
                return
        for blob in self._missing:
            why = "it was complete, and is not any more"
            self.failed[blob] = Failed(blob=blob, error="IntegrityError", message=why, hint="preheat it again")

    async def _listen(self, changed: Callable[[], None]) -> None:
        broadcast = self._task.broadcast
        while self._missing:
            inbox = _Inbox()
            listener = broadcast.listen(f"preheat-{secrets.token_hex(8)}", after="", outlet=inbox)
            batch: bytes | None = b"".join(listener.begin())
            listener.go()
            try:
                while batch is not None and self._missing:
                    # in a thread: a large repository's beginning is long
                    for message in await asyncio.to_thread(_messages, batch):
                        self._hear(message)
                    for carried in self._task.carried():
                        found = carried.segment
                        start, stop = Layout(found.size).segment_range(found.index)
                        self._carried[found.blob, found.index] = stop - start
                    changed()
                    if self._missing:
                        batch = await inbox.read()
            finally:
                broadcast.drop(listener)

    def _is_here(self, blob: str) -> bool:
        return blob not in self._missing and blob not in self.failed

    def _hear(self, message: Message) -> None:
        match message:
            case Segment(blob=blob, index=index, size=size) if index not in self._segments.setdefault(blob, set()):
                start, stop = Layout(size).segment_range(index)
                self._segments[blob].add(index)
                if blob in self._missing:
                    self._arrived[blob] += stop - start
            case Blob(blob=blob, state="complete", size=size):
                self._arrived[blob] = size
                self._missing.discard(blob)
                self.failed.pop(blob, None)
            case Blob(blob=blob):
                self._arrived[blob] = 0
                self._segments.pop(blob, None)
                self._missing.add(blob)
            case Failed(blob=blob):
                for one in (blob,) if blob else tuple(self._missing):
                    self.failed[one] = message
                    self._missing.discard(one)


class _Inbox:
    """An `Outlet` that ends here."""

    def __init__(self) -> None:
        self._unread: list[bytes] = []
        self._news = asyncio.Event()
        self._over = False

    def takes(self) -> bool:
        return not self._unread

    def write(self, *chunks: bytes) -> None:
        self._unread += map(unframed, chunks)
        self._news.set()

    def end(self) -> None:
        self._over = True
        self._news.set()

    def abort(self) -> None:
        self.end()

    async def read(self) -> bytes | None:
        """What was written since the last time, once there is something; None after the end."""
        await self._news.wait()
        read = b"".join(self._unread)
        self._unread.clear()
        if not self._over:
            self._news.clear()
        return read or None


def _messages(batch: bytes) -> list[Message]:
    found = map(decode_message, batch.splitlines())
    return [message for message in found if message is not None]
