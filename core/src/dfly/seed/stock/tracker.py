"""The tracker of stock BitTorrent clients (BEP 3, compact answers): `GET /announce/{pass}`, as a .torrent of ours names it.

What a client says of itself is believed in nothing but its port: its address is that of its connection, never `ip=`, and it is
named to others only there and only on a port that no system service has. It is let in by nodes that hold the blob
(`dfly.seed.stock.outsiders`); none of them dials it. Whatever is wrong is said as the format wants it, in `failure reason`.

Not below `/v1/` as all else is: on loopback libtorrent asks a tracker only where its path begins with `/announce`.
"""

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import Callable, Iterable
from urllib.parse import unquote_to_bytes

import attrs
import structlog
from aiohttp import web

from dfly.errors import DflyError, UsageError
from dfly.layout import Layout
from dfly.seed.access import plain_ip
from dfly.seed.keys import Keys
from dfly.seed.stock.outsiders import Wanted
from dfly.seed.stock.passes import Pass
from dfly.seed.task import Task
from dfly.seed.tasks import Tasks
from dfly.seed.topology.holdings import mask_of
from dfly.seed.topology.members import Member
from dfly.swarm.bencode import Value, bencode
from dfly.wire import Address

_log = structlog.get_logger(__name__)

#: Seconds between a client's announces; while it is told of nobody.
INTERVAL, ALONE = 60, 10
_LONGEST_QUERY, _MOST_PEERS = 4096, 50
_FIRST_PORT, _LAST_PORT = 1024, 65535


@attrs.frozen(kw_only=True)
class Announce:
    """What a client says: `torrent` is an info hash in hex, `port` where it listens, `left` the bytes that it lacks."""

    torrent: str
    port: int
    left: int = 1
    event: str = ""
    most: int = _MOST_PEERS

    @classmethod
    def read(cls, query: str) -> "Announce":
        """The query of a URL, as it came: the info hash is bytes, not text. Raises UsageError."""
        if len(query) > _LONGEST_QUERY:
            raise UsageError("the announce is too long")
        pairs = (part.partition("=") for part in query.split("&"))
        said = {name: unquote_to_bytes(value) for name, _, value in pairs}
        port = _number(said, "port", 0)
        if not _FIRST_PORT <= port <= _LAST_PORT:
            raise UsageError(f"listen on a port from {_FIRST_PORT} to {_LAST_PORT}")
        return cls(
            torrent=said.get("info_hash", b"").hex(),
            port=port,
            left=_number(said, "left", 1),
            event=said.get("event", b"").decode("ascii", "replace"),
            most=min(_number(said, "numwant", _MOST_PEERS), _MOST_PEERS),
        )


@attrs.define(kw_only=True, eq=False)
class Tracker:
    """Answers announces, as a `Face`. `now` is Unix time."""

    tasks: Tasks
    keys: Keys
    now: Callable[[], float] = time.time

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """See Face."""
        router.add_get("/announce/{pass}", self.announce, allow_head=False)

    async def announce(self, request: web.Request) -> web.Response:
        """GET /announce/{pass}. Always 200: a client shows its user no other answer."""
        try:
            answer = await self._answer(request)
        except DflyError as error:
            answer = {"failure reason": f"{error.message}; {error.hint}" if error.hint else error.message}
        return web.Response(body=bencode(answer), content_type="text/plain", headers={"Cache-Control": "no-store"})

    async def _answer(self, request: web.Request) -> dict[str, Value]:
        shown = Pass.opened(request.match_info["pass"], self.keys, now=self.now())
        said, host = Announce.read(request.rel_url.raw_query_string), _address_of(request)
        if said.torrent != shown.torrent:
            raise UsageError("this tracker URL is another torrent's")
        task = next((task for task in self.tasks.all() if task.name == shown.task), None)
        if task is None:
            return _peers([], seeds=0)  # nobody is in its ring; the web seed does without
        wanted = Wanted(torrent=shown.torrent, blob=shown.blob, name=shown.name, host=host)
        if said.event == "stopped":
            task.outsiders.forget(wanted, said.port)
            return _peers([], seeds=0)
        task.outsiders.admit(wanted, said.port)
        others, nodes = task.outsiders.others(wanted, said.port), list[Address]()
        if said.left:
            holders = await self._holders(task, shown.blob)
            nodes = await task.outsiders.open(wanted, holders, task.broadcast.tell)
            _log.debug("outsider.announced", task=task.name, blob=shown.blob, host=host, nodes=len(nodes))
        return _peers([*nodes, *others][: said.most], seeds=len(nodes))

    async def _holders(self, task: Task, blob: str) -> dict[str, Member]:
        """The nodes that may hold a blob whole: by itself, or as a part of the pack that they hold."""
        freight = task.freight
        carrier = freight.pack.blob if freight.pack and blob in freight.pack.blobs else blob
        committed = None
        with contextlib.suppress(ValueError):
            committed = await asyncio.to_thread(self.tasks.mirror.committed, carrier)
        if carrier not in task.scheduler.blobs or committed is None:
            return {}
        whole = mask_of(range(Layout(committed.size).segments))
        members = ((node, task.scheduler.member(node)) for node in task.scheduler.members)
        return {
            node: member
            for node, member in members
            if member is not None and member.connected and member.addresses and not whole & ~member.held.get(carrier, 0)
        }


def _address_of(request: web.Request) -> str:
    try:
        address = plain_ip(request.remote or "")
    except ValueError as error:
        raise UsageError("your address is not known") from error
    return str(address)


def _number(said: dict[str, bytes], name: str, default: int) -> int:
    text = said.get(name, b"")
    return int(text) if text.isdigit() and len(text) < 20 else default


def _peers(found: Iterable[Address], *, seeds: int) -> dict[str, Value]:
    packed = {4: b"", 6: b""}
    for host, port in found:
        address = ipaddress.ip_address(host.partition("%")[0])
        packed[address.version] += address.packed + port.to_bytes(2, "big")
    count = len(packed[4]) // 6 + len(packed[6]) // 18
    return {
        "interval": INTERVAL if count else ALONE,
        "min interval": ALONE,
        "complete": seeds,
        "incomplete": count - seeds if count > seeds else 0,
        "peers": packed[4],
        **({"peers6": packed[6]} if packed[6] else {}),
    }
