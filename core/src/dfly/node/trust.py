"""Whom a node trusts: it counts wrong pieces and broken promises by host, over all torrents of its task.

libtorrent judges within one torrent and by port; here a blob is hundreds of torrents, and a peer that was banned dials again from
another port. One wrong piece is no liar but a disk that changed a bit: its owner is told through the seed peer, looks, and
mends it. Different wrong pieces are a liar, who is shut out. A peer that is asked and sends nothing may only have been paused:
it is passed over until the scheduler names it anew.
"""

from collections import Counter
from collections.abc import Iterable

import attrs

from dfly.events import Listener, Warned
from dfly.node.reporting import Reports
from dfly.swarm import Address, Flooded, Key, PeerBanned, SegmentKey, Session

#: Different pieces that a host alone got wrong, or bans in all, after which it is shut out.
PIECES, ANSWERS = 3, 8
#: Seconds for which a host that was asked sends nothing, and then nothing to anything else either, before it is passed over.
SILENCE, CERTAINTY = 2.5, 1.0
#: Torrents that are looked at in one go: each look is a question to libtorrent's thread.
_AT_ONCE = 8


@attrs.define(kw_only=True, eq=False)
class Trust:
    """What is known of the peers of one task. Times are seconds of one monotonic clock."""

    swarm: Session
    reports: Reports
    emit: Listener
    _named: dict[str, set[Address]] = attrs.field(factory=dict)
    _wrong: dict[str, Counter[tuple[Key, int | None]]] = attrs.field(factory=dict)
    _shut_out: set[str] = attrs.field(factory=set)
    _silent: set[Address] = attrs.field(factory=set)
    #: Silent ones that the scheduler does not name any more.
    _dropped: set[Address] = attrs.field(factory=set)
    #: Since when a torrent's peer owes us blocks, and what it had sent by then.
    _owed: dict[tuple[Key, Address], tuple[float, int]] = attrs.field(factory=dict)
    #: Hosts that may be silent: since when, and what all their connections had sent by then.
    _suspected: dict[str, tuple[float, int]] = attrs.field(factory=dict)

    def named(self, now_named: Iterable[Address]) -> None:
        """The scheduler's present word on who is who. One that it takes back and gives again is another chance."""
        now_named = set(now_named)
        self._dropped = (self._dropped | self._silent) - now_named
        self._silent &= now_named
        for address in now_named:
            self._named.setdefault(address[0], set()).add(address)

    def usable(self, peers: Iterable[Address]) -> list[Address]:
        """Those of `peers` that may be dialled."""
        out = self._silent | self._dropped
        return [peer for peer in peers if peer not in out and peer[0] not in self._shut_out]

    def banned(self, event: PeerBanned, label: str) -> None:
        """Somebody sent a wrong piece of the blob that people call `label`."""
        if not isinstance(event.key, SegmentKey):
            return
        host, key = event.address[0], event.key
        if event.web_seed:
            self._blame_web_seed(event, key, label)
            return
        wrong = self._wrong.setdefault(host, Counter())
        piece = -1 if event.piece is None else event.piece
        wrong[key, piece if event.certain else None] += 1
        if host in self._shut_out:
            return
        if sum(piece is not None for _, piece in wrong) >= PIECES or wrong.total() >= ANSWERS:
            self._shut(host, f"peer {host} sent wrong bytes ({wrong.total()} times) and is shut out", event.address)
        else:
            self.reports.doubts.update((key.blob, key.index, *peer) for peer in self._known_as(event.address))
            self.emit(Warned(message=f"{label}: peer {host} sent wrong bytes of segment {key.index} and is told so"))

    def _blame_web_seed(self, event: PeerBanned, key: SegmentKey, label: str) -> None:
        if event.certain:
            self.reports.bad_segments.add((key.blob, key.index))
            self.emit(Warned(message=f"{label}: the seed peer sent wrong bytes of segment {key.index} and is told so"))

    def flooded(self, event: Flooded) -> None:
        """The session has denied a host that held too many connections."""
        self._shut(event.host, f"peer {event.host} opened {event.connections} connections and is shut out", None)

    def look(
        self, quiet: Iterable[SegmentKey], everything: Iterable[SegmentKey], now: float, *, progressed: float
    ) -> None:
        """Find out who was asked and is silent. `quiet` torrents stand still, `everything` are all unfinished ones.

        Says nothing while nothing arrives from anybody (the last byte came at `progressed`): it may be our own link.
        """
        unfinished = set(everything)
        self._owed = {owed: since for owed, since in self._owed.items() if owed[0] in unfinished}
        watched = dict.fromkeys([key for key, _ in self._owed] + list(quiet))
        owing: set[str] = set()
        for key in list(watched)[:_AT_ONCE]:
            for address, (blocks, sent) in self.swarm.owed(key).items():
                since, before = self._owed.get((key, address), (now, sent))
                if not blocks:
                    self._owed.pop((key, address), None)
                    continue
                self._owed[key, address] = (since if sent == before else now, sent)
                if sent == before and now - since >= SILENCE:
                    owing.add(address[0])
        owing -= self._shut_out
        self._suspected = {host: since for host, since in self._suspected.items() if host in owing}
        if owing and now - progressed < SILENCE:
            self._judge(owing, unfinished, now)

    def _judge(self, owing: set[str], unfinished: Iterable[SegmentKey], now: float) -> None:
        sent: Counter[str] = Counter()
        for key in unfinished:
            for (host, _), (_, count) in self.swarm.owed(key).items():
                sent[host] += count
        for host in owing:
            since, before = self._suspected.setdefault(host, (now, sent[host]))
            if sent[host] != before:
                self._suspected[host] = now, sent[host]
            elif now - since >= CERTAINTY:
                self._pass_over(host)

    def _pass_over(self, host: str) -> None:
        peers = self._named.get(host, set()) - self._silent - self._dropped
        if peers:
            self._silent |= peers
            # frees the blocks that it was asked for: until then nobody else is
            self.swarm.hang_up([host])
            self.reports.silent_peers |= peers
            self.emit(Warned(message=f"peer {host} is asked for bytes and sends none: passed over"))

    def _shut(self, host: str, why: str, seen: Address | None) -> None:
        if host in self._shut_out:
            return
        self._shut_out.add(host)
        self.swarm.deny([host])
        self.reports.accuse(self._known_as(seen or (host, 0)))
        self.emit(Warned(message=why))

    def _known_as(self, seen: Address) -> set[Address]:
        """What the scheduler calls a peer that was seen at `seen`, where it may have dialled us from another port."""
        known = self._named.get(seen[0], set())
        return {seen} if seen in known else set(known)
