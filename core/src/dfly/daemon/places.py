"""This node's places in its tasks' rings while others may need what is here, and who it is there.

A place costs the seed peer a stream and a report now and then, so there are only so many; the longest unused is given up. It also
ends when a blob of it leaves the cache, or turns out to be damaged.
"""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from dfly.daemon.cache import Cache
from dfly.daemon.held import Held
from dfly.daemon.serving import Serving
from dfly.daemon.session import SharedSession
from dfly.node.joining import Joined
from dfly.node.reserve import Reserve
from dfly.packs import Freight


class Places:
    """At most `most`, through shares of `session`. `folder` is for what a stand-in keeps.

    `damaged(blob)` is told of damaged blobs, at once; it must not block. Thread-safe.
    """

    def __init__(
        self, *, cache: Cache, session: SharedSession, folder: str, most: int, damaged: Callable[[str], None]
    ) -> None:
        self.most, self.folder = most, folder
        self._cache, self._session, self._damaged = cache, session, damaged
        self._lock = threading.Lock()
        self._serving: OrderedDict[str, Serving] = OrderedDict()
        self._nodes: dict[str, str] = {}
        self._sources: dict[str, dict[str, int]] = {}
        cache.on_gone.append(self._gone)

    def __len__(self) -> int:
        """How many rings it is in now."""
        with self._lock:
            return sum(serving.alive for serving in self._serving.values())

    def __contains__(self, task: object) -> bool:
        """Whether it has a place in this task's ring."""
        with self._lock:
            serving = self._serving.get(task) if isinstance(task, str) else None
        return serving is not None and serving.alive

    def rows(self) -> list[dict[str, Any]]:
        """Its place in each of them, as JSON."""
        with self._lock:
            places = list(self._serving.values())
        return [serving.row() for serving in places if serving.alive]

    def node(self, task: str) -> str:
        """Who it is in this task's ring, whether it brings something there or only serves."""
        with self._lock:
            return self._nodes.setdefault(task, secrets.token_hex(8))

    def sources(self, task: str) -> dict[str, int]:
        """What that node has got from where: the ring is to hear of it, whichever of its errands brought it."""
        with self._lock:
            return self._sources.setdefault(task, {})

    def take(self, joined: Joined, *, macs: Mapping[str, str]) -> bool:
        """Take a place with all that is here of a task; False where nothing is. `macs` are the seed peer's, by blob."""
        task, freight = joined.seat.task, joined.freight()
        held = self._held(freight, macs)
        if not held or not self.most:
            return False
        inbox = SimpleQueue[Any]()
        share = self._session.share(inbox.put)
        reserve = Reserve(joined, data_dir=self.folder)
        serving = Serving(
            held,
            succession=joined.succession(reserve),
            me=joined.whereabouts(self.node(task), port=share.port),
            share=share,
            inbox=inbox,
            cache=self._cache,
            damaged=self._damaged,
            parts=freight.pack.blobs if freight.pack else (),
            sources=self.sources(task),
        )
        reserve.close()
        with self._lock:
            before = self._serving.pop(task, None)
            self._serving[task] = serving
            surplus = list(self._serving)[: max(0, len(self._serving) - self.most)]
        if before is not None:
            before.leave(goodbye=False)
        serving.start()
        for other in surplus:
            self.leave(other, goodbye=True)
        return True

    def leave(self, task: str, *, goodbye: bool = False) -> None:
        """Give up a place, if there is one. Without a goodbye the ring keeps it for a moment: this node comes back."""
        with self._lock:
            serving = self._serving.pop(task, None)
        if serving is not None:
            serving.leave(goodbye=goodbye)

    def close(self) -> None:
        """Say goodbye everywhere."""
        with self._lock:
            places, self._serving = list(self._serving.values()), OrderedDict()
        leaving = [threading.Thread(target=serving.leave, kwargs={"goodbye": True}) for serving in places]
        for thread in leaving:
            thread.start()
        for thread in leaving:
            thread.join()

    def _held(self, freight: Freight, macs: Mapping[str, str]) -> dict[str, Held]:
        found = {}
        for blob in freight.sizes():
            committed = self._cache.usable(blob)
            if committed is not None and committed.size:
                found[blob] = Held(committed=committed, macs=macs.get(blob, ""))
        return found

    def _gone(self, blob: str) -> None:
        """A blob was given up or put aside: whoever serves it does so no more."""
        with self._lock:
            concerned = [task for task, serving in self._serving.items() if blob in serving.blobs]
            ending = [self._serving.pop(task) for task in concerned]
        for serving in ending:
            # not from its own thread, nor while somebody holds the cache's lock
            threading.Thread(target=serving.leave, kwargs={"goodbye": True}, daemon=True).start()
