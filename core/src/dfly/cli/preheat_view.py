"""How a preheat is shown: on a terminal one line that changes, elsewhere a line for each change, then what each machine has.

Its rows are those that the seed peer sends; the text is for people, so nothing else reads it.
"""

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TextIO

import attrs

from dfly.cli.streams import say
from dfly.cli.units import count_text, duration_text, printable, size_text

Row = Mapping[str, Any]


@attrs.define(kw_only=True)
class View:
    """Shows the rows of one preheat as they come. `live`: `stream` is a terminal, of so many `columns` now."""

    name: str
    stream: TextIO
    live: bool
    columns: Callable[[], int] = lambda: shutil.get_terminal_size().columns
    _rows: dict[str, Row] = attrs.field(factory=dict)
    _said: dict[str, str] = attrs.field(factory=dict)

    @classmethod
    def on_stderr(cls, name: str) -> "View":
        """The usual one."""
        return cls(name=name, stream=sys.stderr, live=sys.stderr.isatty())

    def __call__(self, row: Row) -> None:
        """Show what is new about one machine."""
        who = row.get("node", "")
        self._rows[who] = row
        if self.live:
            say(self.stream, f"\r{self._line()}\x1b[K")
        elif (said := _step(row)) != self._said.get(who):
            self._said[who] = said
            say(self.stream, printable(f"dfctl: {self.name}: {_who(row)}: {said}\n"))

    def end(self) -> None:
        """Leave the line clean."""
        if self.live and self._rows:
            say(self.stream, "\r\x1b[K")

    def _line(self) -> str:
        """What fits a line: one that is wrapped cannot be written over."""
        room, states = self.columns() - 1, printable(f": {self._states()}")
        name, left = printable(self.name), room - len(states)
        if len(name) > left:
            name = "…" + name[len(name) - left + 1 :] if left > 1 else ""
        return (name + states)[:room]

    def _states(self) -> str:
        parts = [f"seed peer {_step(self._rows[''])}"] if "" in self._rows else []
        nodes = [row for who, row in self._rows.items() if who]
        if nodes:
            states = [row["state"] for row in nodes]
            counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states))]
            parts.append(f"{count_text(len(nodes), 'node')}: {', '.join(counts)}")
        return "; ".join(parts)


def report_text(preheats: Iterable[Row], *, say_where: bool = False) -> str:
    """What each machine has of each source that was found, as a list; `say_where`: at which of several seed peers."""
    lines = []
    for found in preheats:
        whole = "" if found["ok"] else " (not all of it)"
        where = f", at {found['at']}" if say_where else ""
        lines.append(f"{found['source']}: {count_text(found['files'], 'file')}{where}{whole}")
        rows = [row for row in (found["seed_peer"], *found["nodes"]) if row is not None]
        width = max((len(_who(row)) for row in rows), default=0)
        lines += [f"  {_who(row):<{width}}  {row['state']:<7}  {_outcome(row)}" for row in rows]
        if found["error"] is not None:
            lines.append(f"  {found['error']['message']}")
    return printable("".join(f"{line}\n" for line in lines))


def _who(row: Row) -> str:
    if not row.get("node"):
        return "seed peer"
    return f"{row['node']} ({row['location']})" if row["location"] else str(row["node"])


def _step(row: Row) -> str:
    """The state, and while it changes the tenths that are there: so a pipe gets few lines."""
    if row["state"] == "running" and row["total"]:
        return f"running, {100 * row['bytes'] // row['total'] // 10 * 10} % of {size_text(row['total'])}"
    return f"{row['state']}, {_outcome(row)}" if row["state"] in ("done", "failed", "lost", "late") else row["state"]


def _outcome(row: Row) -> str:
    if row["error"] is not None:
        return str(row["error"]["message"])
    came = ", ".join(f"{source} {size_text(count)}" for source, count in sorted(row["sources"].items()) if count)
    return f"{size_text(row['bytes'])} in {duration_text(row['seconds'])}" + (f"; {came}" if came else "")
