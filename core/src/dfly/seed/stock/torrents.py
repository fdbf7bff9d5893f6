"""Standard .torrent files of a snapshot that is here: `GET /v1/operator/torrents`.

One for each file, never one for all: in a torrent of many files a piece goes across from one into the next, so its hashes would
be other than those that nodes have, and none of them could serve it. A name is the file's own; its folder is where the
.torrent lies. Empty files have no torrent, because they have no piece.
"""

import asyncio
import base64
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import attrs
import structlog
from aiohttp import web

from dfly.errors import NotFound, SwarmError, UsageError
from dfly.layout import Layout
from dfly.packs import Freight
from dfly.seed.faces import OPERATOR
from dfly.seed.keys import Keys
from dfly.seed.operators.remembered import Memory, Remembered
from dfly.seed.stock.passes import Pass
from dfly.seed.tasks import Tasks
from dfly.swarm.bencode import Encoded, Value, bencode
from dfly.swarm.metainfo import info_hash, whole_info
from dfly.values import Entry, bare_task, bare_url
from dfly.version import VERSION

_log = structlog.get_logger(__name__)

#: Seconds for which a .torrent is good unless the operator says otherwise, and at most.
LIFETIME, LONGEST = 7 * 86400, 366 * 86400


@attrs.frozen(kw_only=True)
class Terms:
    """How torrents are to be: `at` is the seed peer's URL for clients, `lifetime` in seconds."""

    at: str
    lifetime: int = LIFETIME
    web_seed: bool = True

    @classmethod
    def read(cls, query: Mapping[str, str], *, own: str) -> "Terms":
        """Those of a request to us at `own`. Raises UsageError."""
        at, seconds = query.get("at", own).rstrip("/"), query.get("seconds", str(LIFETIME))
        if not at.startswith(("http://", "https://")) or "?" in at or "#" in at:
            raise UsageError(f"{bare_url(at)} is no URL that clients could reach this seed peer at")
        if not (seconds.isascii() and seconds.isdigit() and len(seconds) < 12 and 0 < int(seconds) <= LONGEST):
            raise UsageError(f"a torrent is good for 1 to {LONGEST} seconds")
        return cls(at=at, lifetime=int(seconds), web_seed=query.get("web_seed", "1") != "0")


@attrs.define(kw_only=True, eq=False)
class Torrents:
    """Writes them, as a `Face`. `now` is Unix time."""

    memory: Memory
    tasks: Tasks
    keys: Keys
    now: Callable[[], float] = time.time

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """See Face."""
        router.add_get(OPERATOR + "torrents", self.handle, allow_head=False)

    async def handle(self, request: web.Request) -> web.Response:
        """GET /v1/operator/torrents?url=…: a source URL, or a snapshot's id. Raises NotFound, UsageError, SwarmError."""
        name, own = request.query.get("url", ""), str(request.url.origin())
        terms = Terms.read(request.query, own=own)
        known = await asyncio.to_thread(self.memory.named, name)
        if not known:
            raise NotFound(
                f"{bare_url(name)} is not on this seed peer", kind="snapshot", hint="fetch it through here first"
            )
        expires = int(self.now()) + terms.lifetime
        files = await asyncio.to_thread(lambda: list(self._files(known[-1], terms, expires)))
        _log.info("torrents.written", source=known[-1].snapshot.source, files=len(files))
        return web.json_response({"source": known[-1].snapshot.source, "expires": expires, "files": files})

    def _files(self, known: Remembered, terms: Terms, expires: int) -> Iterator[dict[str, Any]]:
        wanted = [(blob, entry) for blob, entry in Freight.of(known.snapshot, task=known.task).ids if entry.size != 0]
        lacking = []
        for blob, entry in wanted:
            made = self._file(known, blob, entry, terms, expires)
            if made is None:
                lacking.append(entry.path)
            elif made:
                yield made
        if lacking:
            raise SwarmError(
                f"{len(lacking)} of {len(wanted)} files are not whole on this seed peer: {', '.join(lacking[:3])}",
                hint="torrents are written once everything is here; fetch it through here first",
            )

    def _file(self, known: Remembered, blob: str, entry: Entry, terms: Terms, expires: int) -> dict[str, Any] | None:
        """None where the blob is not here; nothing in it where it is empty."""
        committed = self.tasks.mirror.committed(blob)
        if committed is None:
            return None
        if not committed.size:
            return {}
        name = entry.path.rpartition("/")[2]
        info = whole_info(blob, Layout(committed.size), committed.hashes, name=name)
        shown = Pass(
            task=bare_task(known.task),
            blob=blob,
            name=name,
            torrent=info_hash(info).hex(),
            expires=expires,
        )
        torrent = torrent_file(info, shown.sealed(self.keys), name, terms, comment=bare_url(known.snapshot.source))
        return {
            "path": entry.path,
            "bytes": committed.size,
            "info_hash": shown.torrent,
            "torrent": base64.b64encode(torrent).decode(),
        }


def torrent_file(info: bytes, sealed: str, name: str, terms: Terms, *, comment: str) -> bytes:
    """The bytes of a .torrent: its `info` as it is hashed, and where peers and the file itself are to be had."""
    said: dict[str, Value] = {
        "announce": f"{terms.at}/announce/{sealed}",
        "comment": comment,
        "created by": f"dfly {VERSION}",
        "info": Encoded(info),
    }
    if terms.web_seed:
        # no slash at the end: a client would add the name to that
        said["url-list"] = [f"{terms.at}/v1/files/{sealed}/{quote(name, safe='')}"]
    return bencode(said)
