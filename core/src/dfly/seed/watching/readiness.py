"""Whether a process can do its work: it has started, is not stopping, and can write where it keeps its blobs.

Asked by whatever sends it requests, as often as that likes, so the disk is tried at most once a second.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import Literal

import attrs
from aiohttp import web

#: What is written to try a disk: a full one may still take a name, and even a few bytes.
_SOME = b"\0" * (64 << 10)
#: Seconds for which the disk's answer holds.
_HOLDS = 1.0
_NAME = ".writable"

State = Literal["starting", "serving", "stopping"]


def try_to_write(directory: str) -> None:
    """Raise OSError where nothing can be written to a directory."""
    path = os.path.join(directory, _NAME)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        written = os.write(fd, _SOME)
        if written < len(_SOME):
            os.write(fd, _SOME[written:])  # the kernel says why only now
    finally:
        os.close(fd)
        os.unlink(path)


@attrs.define(kw_only=True, eq=False)
class Readiness:
    """Of a process that keeps its data in `directory`; None: it keeps none. `state` is changed by whoever starts and stops it."""

    directory: str | None = None
    state: State = "starting"
    tries: Callable[[str], None] = try_to_write
    clock: Callable[[], float] = time.monotonic
    _tried: float | None = None
    _disk: str = ""
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    async def failed(self) -> dict[str, str]:
        """What is amiss, by the name of the check; nothing where it can work."""
        found = {} if self.state == "serving" else {"process": f"it is {self.state}"}
        if self.directory is not None:
            async with self._turn:
                if self._tried is None or self.clock() - self._tried >= _HOLDS:
                    self._disk = await asyncio.to_thread(self._try, self.directory)
                    self._tried = self.clock()
            if self._disk:
                found["data directory"] = self._disk
        return found

    async def answer(self, _request: web.Request) -> web.Response:
        """GET /readyz: 200 `{"ready": true}`, or 503 with `failed`, which maps what is amiss to why."""
        failed = await self.failed()
        if failed:
            return web.json_response({"ready": False, "failed": failed}, status=503)
        return web.json_response({"ready": True})

    def _try(self, directory: str) -> str:
        try:
            self.tries(directory)
        except OSError as error:
            return f"it cannot be written: {error.strerror or error}"
        return ""
