"""One source URL on its way to one output: plan, leave out what is there, bring the rest, report.

Who brings the bytes is decided here and nowhere else: the swarm where a seed peer has resolved the URL, the origin where there
is none or where the swarm gave up and back-to-source is allowed.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO

import attrs

from dfly.backend import Backend
from dfly.config import Fetch, Joining, Patience
from dfly.errors import OutOfReach, SwarmError
from dfly.events import FileFinished, FileSkipped, SnapshotResolved, TaskFinished, Warned
from dfly.node.arrival import Arrival
from dfly.node.at_once import write_at_once
from dfly.node.direct import fetch_directly
from dfly.node.freight import pack_place
from dfly.node.lending import LenderLost, Loan
from dfly.node.lent import Link
from dfly.node.outputs import Outputs
from dfly.node.proof import already_there
from dfly.node.resolve import contents, same_file
from dfly.node.tally import Planned, Report, Tally
from dfly.origin.pauses import Pauses
from dfly.output.place import clean, partial_directory, place, remove_all
from dfly.output.plan import Target
from dfly.output.preflight import preflight
from dfly.output.receipt import entry_key
from dfly.values import Digest, Entry, Snapshot

if TYPE_CHECKING:
    from dfly.node.joining import Joined
    from dfly.node.piping import Pipe
    from dfly.node.succession import Seat


@attrs.define(kw_only=True)
class Task:
    """`snapshot`, resolved by this process or (`joined`) by a seed peer. `backend` is built when first needed.

    What only goes to a pipe is read at a `seat` of a seed peer, without joining the others.
    Where a daemon has resolved it there is a `loan`; `join` turns to the seed peers should the daemon go away.
    `resolve` asks the source itself: before this process goes back to it, whatever a seed peer told.
    `outputs` says where its files go. `plan` first, then one of `run`, `dry_run` and `stream`.
    """

    snapshot: Snapshot
    joined: "Joined | None"
    backend: Callable[[], Backend]
    resolve: Callable[[], Snapshot]
    join: "Callable[[], Joined | None]"
    joining: Joining
    settings: Fetch
    patience: Patience
    pauses: Pauses
    tally: Tally
    stop: threading.Event
    outputs: Outputs
    overwrite: bool
    demanded: Digest | None
    loan: Loan | None = None
    seat: "Seat | None" = None
    link: Link = "auto"
    targets: list[Target] = attrs.field(init=False, factory=list)

    def plan(self) -> list[Target]:
        """Decide where every file goes, and say what there is to fetch. Raises UsageError and OutputError."""
        self._place_targets()
        self.tally(
            SnapshotResolved(
                url=self.snapshot.source,
                revision=self.snapshot.revision,
                snapshot=self.snapshot.id,
                files=len(self.snapshot.entries),
                bytes=self.snapshot.size,
            )
        )
        return self.targets

    def run(self) -> Report:
        """Bring every file to its place."""
        began = time.monotonic()
        with closing(self.outputs):
            wanted = self._missing(self.targets)
            if self.outputs.claim(wanted, emit=self.tally, stop=self.stop):
                wanted = self._missing(wanted)
            return self._bring(wanted, began)

    def _bring(self, wanted: list[Target], began: float) -> Report:
        root = self.outputs.root(self.targets)
        if self.loan is not None and wanted:
            wanted = self._borrow(self.loan, wanted, root)
        if not wanted or self.joined is None:
            self._directly(wanted, root)
            self._tidy(root)
            return self._finished(began)
        for target in wanted:
            if target.entry.size == 0:
                self._place_empty(target, root)
        heard = -1
        while self.joined is not None:
            try:
                report = self._in_the_swarm(self.joined, wanted, root, began)
                self._tidy(root)
                return report  # noqa: TRY300 - what is raised above is what the swarm could not do
            except SwarmError as error:
                if not self.joining.back_to_source:
                    raise
                self.tally(Warned(message=f"{error.message}; going back to the source"))
                cut_off = isinstance(error, OutOfReach)
            self._resolve_alone()
            # the source answers: if it was our own network that was gone, the seed peers do too by now; a stay that
            # brought nothing is not repeated, since a seed peer may resolve and be of no other use
            before, heard = heard, sum(self.tally.sources.values())
            self.joined = self._join_again() if cut_off and heard > before else None
            wanted = [target for target in self.targets if not self._done(target)]
        self._directly(wanted, root)
        self._tidy(root)
        return self._finished(began)

    def _in_the_swarm(self, joined: "Joined", wanted: Sequence[Target], root: str, began: float) -> Report:
        arrivals = joined.arrivals(wanted, root=root, emit=self.tally)
        preflight(
            [target.path for target in wanted], root=root, needed=sum(a.bytes_missing() for a in arrivals.values())
        )
        with joined.rolling(arrivals, root=root, emit=self.tally, stop=self.stop) as rolling:
            rolling.bring()
            report = self._finished(began)
            rolling.linger(self.joining.seed_time)
        return report

    def _join_again(self) -> "Joined | None":
        """The same files at a seed peer, where one answers."""
        joined = self.join()
        if joined is None or contents(joined.snapshot) != contents(self.snapshot):
            return None
        self.tally(Warned(message="a seed peer answers again; going on in the swarm"))
        return joined

    def dry_run(self) -> Report:
        """Say what `run` would do."""
        began = time.monotonic()
        planned = tuple(
            Planned(
                path=target.entry.path,
                output=path,
                size=target.entry.size,
                present=not self.overwrite and already_there(target),
            )
            for target, path in self.outputs.listed(self.targets)
        )
        return attrs.evolve(self._report(began), skipped=sum(p.present for p in planned), plan=planned)

    def stream(self, stdout: BinaryIO) -> Report:
        """Write the one file to `stdout`."""
        began = time.monotonic()
        (target,) = self.targets
        if self.loan is not None:
            from dfly.node.borrowing import borrow_to

            borrow_to(stdout, self.loan, target, emit=self.tally, stop=self.stop)
            return self._finished(began)
        from dfly.node.piping import Pipe

        pipe = Pipe(
            stdout=stdout,
            settings=self.settings,
            patience=self.patience,
            pauses=self.pauses,
            emit=self.tally,
            stop=self.stop,
        )
        if self.seat is None:
            pipe.from_source(target, self.backend())
        else:
            self._stream_at(self.seat, target, pipe)
        return self._finished(began)

    def _stream_at(self, seat: "Seat", target: Target, pipe: "Pipe") -> None:
        if target.entry.size is not None:
            alone = self._alone if self.joining.back_to_source else None
            pipe.from_seed_peer(target, seat, alone, patience=self.joining.patience)
            return
        if not self.joining.back_to_source:
            from dfly.node.published import unsized

            raise unsized(target.entry)
        self._resolve_alone()
        (target,) = self.targets
        pipe.from_source(target, self.backend())

    def _alone(self) -> tuple[Backend, Entry]:
        """What reads the one file, and the file, after some of it has come from a seed peer."""
        (told,) = self.snapshot.entries
        (found,) = self.resolve().entries
        return self.backend(), same_file(told, found)

    def _directly(self, wanted: Sequence[Target], root: str) -> None:
        arrivals = Arrival.each(wanted, root=root, emit=self.tally)
        preflight([target.path for target in wanted], root=root, needed=sum(a.bytes_missing() for a in arrivals))
        if not arrivals:
            return
        try:
            fetch_directly(
                arrivals,
                self.backend(),
                settings=self.settings,
                patience=self.patience,
                pauses=self.pauses,
                emit=self.tally,
                stop=self.stop,
            )
        finally:
            clean(root)

    def _borrow(self, loan: Loan, wanted: Sequence[Target], root: str) -> list[Target]:
        """Let the daemon bring `wanted`. Returns what is left where it went away in the middle."""
        from dfly.node.borrowing import borrow

        needed = 0 if self.link == "hard" else sum(target.entry.size or 0 for target in wanted)
        preflight([target.path for target in wanted], root=root, needed=needed)
        try:
            borrow(loan, wanted, root=root, link=self.link, emit=self.tally, stop=self.stop)
        except LenderLost as error:
            self.tally(Warned(message=f"{error.message}; going on without it"))
            told, self.joined = self.snapshot, self.join()
            if self.joined is not None and contents(self.joined.snapshot) != contents(told):
                self.joined = None
            if self.joined is None:
                self._resolve_alone()
            return [target for target in self.targets if not self._done(target)]
        return []

    def _resolve_alone(self) -> None:
        """Go by what the source says: with a seed peer's entries, its word would steer this process's own credentials."""
        told, self.snapshot = self.snapshot, self.resolve()
        if contents(told) != contents(self.snapshot):
            self.tally(Warned(message="the source has other files than the seed peer told; going by the source"))
            self.plan()
        else:
            self._place_targets()

    def _place_targets(self) -> None:
        planned = self.outputs.plan(self.snapshot)
        self.targets = [attrs.evolve(target, demanded=self.demanded) for target in planned]

    def _missing(self, targets: Sequence[Target]) -> list[Target]:
        return [target for target in targets if self.overwrite or not self._there(target)]

    def _done(self, target: Target) -> bool:
        """Whether this task, or an earlier one where that counts, has put this very content there."""
        if target.path in self.tally.placed and target.entry.blob is None:
            return True  # nothing tells its content from another: what the swarm agreed on stands
        return (target.path in self.tally.placed or not self.overwrite) and already_there(target)

    def _tidy(self, root: str) -> None:
        """All is in place: what runs that were killed have left of it is of no use any more."""
        remove_all([*(target.path for target in self.targets), pack_place(root)], root=root)

    def _there(self, target: Target) -> bool:
        there = already_there(target)
        if there:
            self.tally(FileSkipped(path=target.entry.path, bytes=target.size))
        elif os.path.isfile(target.path) and not (self.demanded or entry_key(target.entry)):
            what = "the origin does not tell whether it has changed; fetching it again, --digest would tell"
            self.tally(Warned(message=f"{target.path} is there, but {what}"))
        return there

    def _place_empty(self, target: Target, root: str) -> None:
        hidden = partial_directory(target.path, "empty", root=root) + ".part"
        place(lambda final: write_at_once(b"", final, hidden=hidden), target.path, entry=target.entry)
        self.tally(FileFinished(path=target.entry.path, output=target.path, bytes=0))
        clean(root)

    def _finished(self, began: float) -> Report:
        self.outputs.finish(self.targets, emit=self.tally, stop=self.stop)
        report = self._report(began)
        self.tally(TaskFinished(**attrs.asdict(report, filter=lambda field, _: field.name != "plan")))
        return report

    def _report(self, began: float) -> Report:
        placed, listed = self.tally.placed, self.outputs.listed(self.targets)
        return Report(
            url=self.snapshot.source,
            output=self.outputs.name(self.targets),
            files=len(listed),
            bytes=sum(placed.get(target.path, target.size) for target, _ in listed),
            skipped=self.tally.skipped,
            seconds=round(time.monotonic() - began, 3),
            sources=dict(self.tally.sources),
        )
