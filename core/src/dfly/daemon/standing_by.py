"""Stands by for errands: over a connection of its own each seed peer may send this node for what it will be asked for later.

    seed peer ──errand──▶ admission ─▶ errand, as this daemon's own user ─▶ cache
        ▲                                     │
        ╰──────────── how far it is ──────────╯

What a seed peer says is a stranger's word: what it names comes by the seed peers' swarm or not at all. A daemon that went back to
the source for it would reach, with its own network and rights, wherever somebody else likes.
"""

import random
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import structlog

from dfly.config import Fetch
from dfly.daemon.admission import Admissions, Admitted, Caller, Declined
from dfly.daemon.errand import Errand, Means
from dfly.errors import Cancelled, DflyError, NotFound, OutputError
from dfly.events import BytesArrived, Event
from dfly.node.control import SeedPeer
from dfly.packs import entry_blob
from dfly.store.blobs import Committed
from dfly.values import bare_url
from dfly.wire.errands import DONE, FAILED, RUNNING, WAITING, ErrandReport
from dfly.wire.errands import Errand as Sent

_log = structlog.get_logger(__name__)

#: Errands that run at a time, and that are remembered.
AT_ONCE, _MOST = 4, 256
#: Seconds between reports while there is news, and while there is none.
NEWS, SIGN_OF_LIFE = 1.0, 5.0
#: Seconds until a lost connection is made again, and the longest pause where nobody answers: an old seed peer never will.
AGAIN, LONGEST = 0.5, 60.0
_LAST_WORDS = 2.0


@attrs.define(kw_only=True, eq=False)
class _Run:
    """An errand here. `said` is what the seed peer was last told, and when (monotonic)."""

    sent: Sent
    peer: SeedPeer
    report: ErrandReport
    said: ErrandReport | None = None
    said_at: float = 0.0
    stop: threading.Event = attrs.field(factory=threading.Event)

    @property
    def over(self) -> bool:
        """Whether there is nothing more to do."""
        return self.report.state in (DONE, FAILED)


class StandingBy:
    """At all of `seed_peers`, as `node` at `location`. `admissions` and `means` must not go back to the source.

    `pin(task)` keeps what a task brought whatever else needs room.
    """

    def __init__(
        self,
        *,
        seed_peers: Sequence[SeedPeer],
        node: str,
        location: str,
        admissions: Admissions,
        means: Means,
        settings: Fetch,
        uid: int,
        pin: Callable[[str], None],
    ) -> None:
        assert not means.back_to_source
        self._node, self._location = node, location
        self._admissions, self._means, self._settings = admissions, means, settings
        self._me, self._pin = Caller(uid=uid), pin
        self._closing, self._news = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._cuts: dict[str, Callable[[], None]] = {}
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="dfly-sent")
        self._threads = [
            threading.Thread(target=self._stand, args=(peer,), name="dfly-standing-by", daemon=True)
            for peer in seed_peers
        ]
        self._threads.append(threading.Thread(target=self._tell, name="dfly-sent-tells", daemon=True))

    def start(self) -> None:
        """Stand by."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End what is under way, and wait for it; what has arrived is kept."""
        self._closing.set()
        self._news.set()
        with self._lock:
            runs, cuts = list(self._runs.values()), list(self._cuts.values())
        for run in runs:
            run.stop.set()
        for cut in cuts:
            cut()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for thread in self._threads:
            # one may be dialling somebody who does not answer: nothing waits for that
            thread.join(_LAST_WORDS)

    # The connection

    def _stand(self, peer: SeedPeer) -> None:
        pause = AGAIN
        while not self._closing.is_set():
            if self._listen(peer):
                pause = AGAIN
            self._closing.wait(random.uniform(0.5, 1.5) * pause)
            pause = min(2 * pause, LONGEST)

    def _listen(self, peer: SeedPeer) -> bool:
        """Whether the seed peer said anything before the connection ended."""
        heard = False
        try:
            with peer.errands(self._node, self._location) as stream:
                with self._lock:
                    self._cuts[peer.url] = stream.cut
                for message in () if self._closing.is_set() else stream.messages:
                    heard = True
                    if isinstance(message, Sent):
                        self._take(message, peer)
        except DflyError as error:
            _log.debug("standing_by.interrupted", seed_peer=bare_url(peer.url), cause=error.message)
        finally:
            with self._lock:
                self._cuts.pop(peer.url, None)
        return heard

    def _take(self, sent: Sent, peer: SeedPeer) -> None:
        """Begin an errand, unless this node is at it already; then the seed peer is told again how far it is."""
        with self._lock:
            run = self._runs.get(sent.id)
            if run is None:
                run = _Run(sent=sent, peer=peer, report=ErrandReport(node=self._node, state=WAITING))
                self._runs[sent.id] = run
                while len(self._runs) > _MOST:
                    over = next((name for name, run in self._runs.items() if run.over), sent.id)
                    del self._runs[over]
                if sent.id in self._runs and not self._closing.is_set():
                    self._pool.submit(self._run, run)
            run.said = None
        self._news.set()

    # The errands

    def _run(self, run: _Run) -> None:
        url, began = bare_url(run.sent.ask.url), time.monotonic()
        _log.info("errand.begun", url=url)
        try:
            self._bring(run)
        except Cancelled:
            return  # the daemon stops: whoever sent it does so again when it is back
        except Declined as declined:
            self._failed(run, "AccessDenied", str(declined), "")
        except DflyError as error:
            self._failed(run, type(error).__name__, error.message, error.hint)
        except Exception as error:  # noqa: BLE001 - the log has it
            _log.exception("errand.broken", url=url)
            self._failed(run, "SwarmError", f"the node met an error of its own: {type(error).__name__}", "see its log")
        report = run.report
        seconds = round(time.monotonic() - began, 3)
        _log.info("errand.over", url=url, outcome=report.error or report.state, seconds=seconds, **report.sources)

    def _bring(self, run: _Run) -> None:
        given = {name: values for name, values in run.sent.options.items() if values}
        admitted = self._admissions.admit(self._me, run.sent.ask, given, stop=run.stop)
        snapshot = admitted.snapshot
        blobs = {entry_blob(e, snapshot, task=admitted.resolved.task): e.size for e in snapshot.entries}
        total = None if None in blobs.values() else sum(size or 0 for size in blobs.values())
        sources: Counter[str] = Counter()

        def tell(event: Event) -> None:
            if isinstance(event, BytesArrived):
                sources[event.source] += event.bytes
                self._say(run, state=RUNNING, arrived=sum(sources.values()), sources=dict(sources))

        self._say(run, state=RUNNING, total=total, source=admitted.snapshot.source)
        Errand(admitted, means=self._means, settings=self._settings, tell=tell, lend=_lend_nothing, stop=run.stop).run(
            range(len(admitted.snapshot.entries))
        )
        if run.sent.pin:
            self._pin(admitted.resolved.task)
        self._require_kept(admitted, set(blobs))
        brought = total if total is not None else sum(sources.values())
        self._say(run, state=DONE, arrived=brought, total=brought, sources=dict(sources))

    def _require_kept(self, admitted: Admitted, blobs: set[str]) -> None:
        gone = sum(self._means.cache.usable(blob) is None for blob in blobs)
        if gone:
            raise OutputError(
                f"{gone} of {len(blobs)} blobs of {bare_url(admitted.snapshot.source)} did not stay in the cache",
                hint="give the node's daemon more room with --cache-size, or pin what must stay",
            )

    def _failed(self, run: _Run, error: str, message: str, hint: str) -> None:
        self._say(run, state=FAILED, error=error, message=message, hint=hint)

    def _say(self, run: _Run, **news: Any) -> None:
        run.report = attrs.evolve(run.report, **news)
        if run.over:
            self._news.set()

    # What the seed peer is told

    def _tell(self) -> None:
        """Tell how far everything is, whenever there is something that was not told."""
        pause: float | None = None
        while not self._closing.is_set():
            self._news.wait(pause)
            self._news.clear()
            with self._lock:
                runs = list(self._runs.values())
            unreached: set[str] = set()
            for run in runs:
                if run.peer.url not in unreached and not self._closing.is_set() and not self._told(run):
                    unreached.add(run.peer.url)
            if unreached:
                pause = min(2 * (pause or NEWS), LONGEST)
            else:
                pause = NEWS if any(run.report != run.said or not run.over for run in runs) else None

    def _told(self, run: _Run) -> bool:
        """Whether the seed peer could be told, if there was something to tell."""
        report, now = run.report, time.monotonic()
        if report == run.said and (run.over or now - run.said_at < SIGN_OF_LIFE):
            return True
        try:
            run.peer.report_errand(run.sent.id, report)
        except NotFound:
            pass  # it has forgotten the errand: nobody waits for it any more
        except DflyError:
            return False
        run.said, run.said_at = report, now
        return True


def _lend_nothing(numbers: Sequence[int], held: Committed) -> None:
    """Nobody is waiting for a file: to bring it was all."""
