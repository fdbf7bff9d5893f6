"""Which seed peer a task is at, and where it goes when that one is gone.

    the same, restarted ──▶ the next configured one ──▶ a stand-in: a node of the last ring ──▶ nobody (SwarmError)

A seed peer that comes back, or takes over, knows nothing of the task: the node carries over what was resolved, under the old
one's seal, so that the hub is not asked again and not even needed. All nodes go through the same candidates in the same order,
and so meet again.
"""

import socket
import threading
import time
from collections.abc import Callable, Sequence

import attrs
import structlog

from dfly import wire
from dfly.errors import AccessDenied, DflyError, NotFound, SwarmError
from dfly.node.control import SeedPeer, nobody_listens
from dfly.node.travelling import Options

_log = structlog.get_logger(__name__)

#: Seconds that a seed peer has for what it need not ask its hub about: one that was stopped must not hold up its succession.
ANSWERED = 15.0
#: Seconds between two questions.
PAUSE = 0.25


@attrs.frozen(kw_only=True)
class Seat:
    """A task at a seed peer."""

    seed_peer: SeedPeer
    resolved: wire.Resolved

    @property
    def task(self) -> str:
        """The task's id there."""
        return self.resolved.task


@attrs.define(kw_only=True, eq=False)
class Succession:
    """The candidates. `ask` and `options` are what the node wants and may show; `left` ends every wait.

    `stand_in(address)` is called when it is this node's turn (its control port is `own_port`); it begins to serve there.
    `settle` is how long (seconds) a candidate that does not answer is tried before the next one's turn, and how long those that
    refuse connections are tried, all in turn, before a stand-in's.
    """

    seat: Seat
    candidates: Sequence[SeedPeer]
    ask: wire.Ask
    options: Options
    peer_at: Callable[[wire.Address], SeedPeer]
    stand_in: Callable[[wire.Address], SeedPeer]
    own_port: int
    settle: float = 3.0
    left: threading.Event = attrs.field(factory=threading.Event)
    stand_ins: tuple[wire.Address, ...] = ()

    def again(self) -> Seat | None:
        """Where to go on, after the present seed peer was lost; None where nobody is left, or the task has ended."""
        for find in (self._configured, self._standing_in):
            seat = find()
            if seat is not None or self.left.is_set():
                if seat is not None:
                    self.seat = seat
                return seat
        return None

    def home(self) -> Seat | None:
        """The seat at a seed peer that comes before the present one in everybody's order, where one answers again.

        Nodes that were away, and new ones, go there: the others must follow, or there are two rings and two hub fetches.
        """
        here = self.seat.seed_peer.url
        for peer in self.candidates:
            if peer.url == here or self.left.is_set():
                return None
            seat = self._try(peer, 0.0, self.options)
            if seat is not None:
                return seat
        return None

    def _configured(self) -> Seat | None:
        here = self.seat.seed_peer
        until = time.monotonic() + self.settle
        order = [here, *(peer for peer in self.candidates if peer.url != here.url)]
        while order:
            refused = []
            for peer in order:
                try:
                    seat = self._try(peer, self.settle, self.options, insist=False)
                except SwarmError:
                    refused.append(peer)
                    continue
                if seat is not None or self.left.is_set():
                    return seat
            order = refused
            if time.monotonic() >= until or self.left.wait(PAUSE):
                break
        return None

    def _standing_in(self) -> Seat | None:
        for address in self.stand_ins:
            if address[1] == self.own_port and _is_here(address[0]):
                seat = self._serving(address)
            else:
                # it too has to find out that all seed peers are gone; and it is another user's machine: no secret goes there
                peer = self.peer_at(address)
                shown = {name: value for name, value in self.options.items() if name not in peer.secret}
                seat = self._try(peer, 2 * self.settle, shown)
            if seat is not None or self.left.is_set():
                return seat
        return None

    def _serving(self, address: wire.Address) -> Seat | None:
        try:
            return self._try(self.stand_in(address), self.settle, self.options)
        except DflyError:
            return None  # it cannot, or must not: the next one's turn
        except Exception:  # noqa: BLE001 - a full disk, or a plugin's own: others wait for this one's turn to end
            _log.exception("stand_in.failed")
            return None

    def _try(self, peer: SeedPeer, patience: float, options: Options, *, insist: bool = True) -> Seat | None:
        """Ask `peer` for the task until it answers, for `patience` seconds.

        Unless it should `insist`, a connection that is refused is a SwarmError at once.
        """
        until = time.monotonic() + patience
        known = self.seat.resolved
        first = not self.candidates or peer.url == self.candidates[0].url
        ask = attrs.evolve(self.ask, known=known if known.seal else None, fallback=not first)
        while not self.left.is_set():
            try:
                resolved = peer.resolve(ask, options, patience=ANSWERED)
            except (SwarmError, NotFound, AccessDenied) as error:
                if not isinstance(error, SwarmError):
                    return None  # it answers, and will not have this task: the next one may
                if not insist and nobody_listens(error):
                    raise
            except DflyError:
                return None
            else:
                if resolved.task == known.task:
                    return Seat(seed_peer=peer, resolved=resolved)
                return None  # the source has moved on since: what has arrived here would be of no use there
            if time.monotonic() >= until:
                return None
            self.left.wait(PAUSE)
        return None


def _is_here(host: str) -> bool:
    """Whether `host` is one of this machine's own addresses: only these can be bound."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True
