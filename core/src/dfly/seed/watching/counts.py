"""What has happened at this seed peer since it started: plain numbers, added to where it happens and read when somebody asks."""

from collections import Counter
from collections.abc import Iterator

import attrs

from dfly.durations import Durations
from dfly.errors import DflyError
from dfly.events import SOURCES
from dfly.seed.topology.members import Member
from dfly.wire import Report

#: What a node may say is beyond any real transfer; more is a lie, and would be no number in a table.
_MOST_BYTES = 1 << 60


@attrs.define(kw_only=True, eq=False)
class Counts:
    """Written in the event loop. `received` is what nodes say they took, in bytes by source (`dfly.events.SOURCES`).

    `blobs` are the mirror's news by kind ("segment" for each of those), `errors` by class of `dfly.errors`, `complaints`
    what nodes report, by kind; `lookups` say whether a blob was here when a task began; `waits` is how often the mirror had
    to wait for a hub. `tasks` is how long nodes took from their first word to their last byte, `resolving` how long it took to
    say what a source is.
    """

    received: Counter[str] = attrs.field(factory=Counter)
    blobs: Counter[str] = attrs.field(factory=Counter)
    errors: Counter[str] = attrs.field(factory=Counter)
    complaints: Counter[str] = attrs.field(factory=Counter)
    lookups: Counter[str] = attrs.field(factory=Counter)
    waits: int = 0
    tasks: Durations = attrs.field(factory=Durations)
    resolving: Durations = attrs.field(factory=Durations)

    def failed(self, error: DflyError) -> None:
        """Something could not be had."""
        self.errors[type(error).__name__] += 1

    def reported(self, member: Member, report: Report, now: float) -> None:
        """A node tells how it goes. To be called before its member is changed by that."""
        for source, count in believable(report):
            self.received[source] += max(0, count - member.sources.get(source, 0))
        for kind, told in (
            ("stalled", report.stalled),
            ("wrong_bytes", report.bad_peers),
            ("silent_peer", report.silent_peers),
            ("doubt", report.doubts),
            ("web_seed", report.bad_segments),
        ):
            if told:
                self.complaints[kind] += len(told)
        if report.done and not member.done:
            self.tasks.took(now - member.since)


def believable(report: Report) -> Iterator[tuple[str, int]]:
    """The bytes by source of a report, less what can be none."""
    return ((source, count) for source in SOURCES if 0 < (count := report.sources.get(source, 0)) < _MOST_BYTES)
