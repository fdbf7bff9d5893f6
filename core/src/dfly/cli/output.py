"""What a task leaves on the screen: JSON events, a dry run's list, the last line.

`--json` writes one object per line on standard output: each event of `dfly.events`, and the three kinds defined here.
"""

import json
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TextIO

import attrs

from dfly.cli.tally import Standing
from dfly.cli.units import count_text, duration_text, printable, rate_text, size_text
from dfly.events import Event

if TYPE_CHECKING:
    from dfly.node.fetch import Planned, Report


@attrs.frozen(kw_only=True)
class FilePlanned(Event):
    """`--dry-run`: `path` would be written to `output`; `present`: it is there and right. `bytes` may be null."""

    name = "file.planned"
    path: str
    output: str
    bytes: int | None
    present: bool


@attrs.frozen(kw_only=True)
class TaskPlanned(Event):
    """`--dry-run`: all of it; `files` and `bytes` count everything, the `missing_` ones what would be transferred."""

    name = "task.planned"
    url: str
    files: int
    bytes: int
    missing_files: int
    missing_bytes: int


@attrs.frozen(kw_only=True)
class Failed(Event):
    """The command failed; `type` is a class of `dfly.errors`, or another exception's name where it is a bug."""

    name = "error"
    type: str
    message: str
    hint: str
    exit_code: int


class JsonLines:
    """A listener that writes events as JSON. When they can no longer be written it calls `on_closed` once and goes quiet.

    `broken` is why: nobody reads any more, or the disk is full that they go to.
    """

    def __init__(self, stream: TextIO, *, on_closed: Callable[[], None]) -> None:
        self._stream = stream
        self._on_closed = on_closed
        self.broken: OSError | None = None

    def __call__(self, event: Event) -> None:
        """Write one line, whole, now."""
        if self.broken is not None:
            return
        try:
            self._stream.write(json.dumps(event.as_dict(), separators=(",", ":")) + "\n")
            self._stream.flush()
        except OSError as error:
            # raised here it would surface in one of the core's worker threads
            self.broken = error
            self._on_closed()


def plan_events(report: "Report") -> Iterable[Event]:
    """A dry run as events."""
    for planned in report.plan:
        yield FilePlanned(path=planned.path, output=planned.output, bytes=planned.size, present=planned.present)
    missing = _missing(report)
    yield TaskPlanned(
        url=report.url,
        files=len(report.plan),
        bytes=_bytes(report.plan),
        missing_files=len(missing),
        missing_bytes=_bytes(missing),
    )


def plan_text(report: "Report") -> str:
    """A dry run as a list: size, output, whether it is there, and the total below."""
    lines = []
    for planned in report.plan:
        size = "? B" if planned.size is None else size_text(planned.size)
        lines.append(f"{size:>10}  {planned.output}" + ("  (already there)" if planned.present else ""))
    lines.append(_total(report))
    return printable("\n".join(lines))


def _total(report: "Report") -> str:
    missing = _missing(report)
    total = count_text(len(report.plan), "file")
    unknown = sum(planned.size is None for planned in report.plan)
    if unknown and unknown == len(report.plan):
        total += " of unknown size"
    else:
        total += f", {size_text(_bytes(report.plan))}" + (f" and {unknown} of unknown size" if unknown else "")
    if not missing:
        return f"{total}: already there, nothing to fetch" if report.plan else "no files, nothing to fetch"
    if len(missing) == len(report.plan):
        return f"{total} to fetch"
    return f"{total}; {len(missing):,} to fetch ({size_text(_bytes(missing))}), the rest is there"


def summary(report: "Report", standing: Standing, *, unverified: int) -> str:
    """The last line: what came, how fast, how sure, and from where.

    `model: 13 files, 90.9 MB in 1.2 s (75.7 MB/s), all verified; hub 90.9 MB`
    """
    size = max(report.bytes, standing.done)
    what = f"{_name(report)}: {count_text(report.files, 'file')}, {size_text(size)}"
    if not report.files:
        return f"{_name(report)}: no files, nothing to fetch"
    moved = sum(report.sources.values())
    if report.skipped == report.files:
        return f"{what}: already there, nothing transferred"
    rate = f" ({rate_text(moved / report.seconds)})" if report.seconds > 0 else ""
    parts = [f"{what} in {duration_text(report.seconds)}{rate}"]
    if report.skipped:
        parts.append(f"{report.skipped:,} already there")
    parts.append("all verified" if not unverified else f"{unverified:,} checked by size only (no digest known)")
    came = ", ".join(f"{source} {size_text(count)}" for source, count in sorted(report.sources.items()) if count)
    return printable(", ".join(parts) + (f"; {came}" if came else ""))


def _name(report: "Report") -> str:
    if report.output not in ("-", ".", ""):
        return os.path.basename(report.output.rstrip(os.sep)) or report.output
    return report.url.rstrip("/").rpartition("/")[2]


def _missing(report: "Report") -> "list[Planned]":
    return [planned for planned in report.plan if not planned.present]


def _bytes(plan: "Iterable[Planned]") -> int:
    return sum(planned.size or 0 for planned in plan)
