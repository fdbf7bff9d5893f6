"""One task on the command line: events go out to the screen, Ctrl-C comes in, an exit code is what remains."""

import math
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import attrs

from dfly.cli.failures import Failures
from dfly.cli.interrupt import Interruption
from dfly.cli.output import JsonLines, plan_events, plan_text, summary
from dfly.cli.progress import Bar, Lines
from dfly.cli.tally import Tally
from dfly.errors import Cancelled
from dfly.events import Event, Listener, ignore

if TYPE_CHECKING:
    from dfly.node.fetch import Report

Task = Callable[[Listener, threading.Event], "Report"]


@attrs.frozen(kw_only=True)
class Screen:
    """How a task is shown. `payload` says that the bytes themselves go to standard output."""

    program: str
    json: bool = False
    quiet: bool = False
    progress: bool = True
    debug: bool = False
    payload: bool = False

    def run(self, task: Task, *, dry_run: bool = False) -> int:
        """Call `task` with a listener and a cancel event; show what it does; return the exit code."""
        cancel, tally = threading.Event(), Tally()
        json_lines = JsonLines(sys.stdout, on_closed=cancel.set) if self.json else None
        failures = Failures(program=self.program, stream=sys.stderr, emit=json_lines, debug=self.debug)
        try:
            with Interruption(cancel, keeping=not self.payload) as interruption, self._progress(tally) as progress:
                report = task(_all(tally, progress, json_lines), cancel)
        except Cancelled as error:
            if json_lines is not None and json_lines.broken is not None:
                return failures.unheard(json_lines.broken)
            # a pipe has taken what came and cannot go on with it
            said = "cancelled" if self.payload else error.message
            return failures.say(type(error).__name__, said, exit_code=interruption.exit_code)
        except Exception as error:  # noqa: BLE001 - the one place where every failure ends
            return failures.tell(error)
        try:
            self._show(report, tally, json_lines, dry_run=dry_run)
        except OSError as error:
            return failures.unheard(error)
        if json_lines is not None and json_lines.broken is not None:
            return failures.unheard(json_lines.broken)
        return 0

    def _progress(self, tally: Tally) -> AbstractContextManager[Listener]:
        if self.quiet or self.json:
            return nullcontext(ignore)
        if not self.progress or (self.payload and sys.stdout.isatty()):
            # bytes on their way to the same terminal leave no place for a bar
            return nullcontext(Lines(tally, sys.stderr, every=math.inf))
        if not sys.stderr.isatty():
            return nullcontext(Lines(tally, sys.stderr))
        from rich.console import Console

        console = Console(stderr=True)
        return nullcontext(Lines(tally, sys.stderr)) if console.is_dumb_terminal else Bar(tally, console).shown()

    def _show(self, report: "Report", tally: Tally, json_lines: JsonLines | None, *, dry_run: bool) -> None:
        if json_lines is not None:
            for event in plan_events(report) if dry_run else ():
                json_lines(event)
        elif dry_run:
            sys.stdout.write(plan_text(report) + "\n")
            sys.stdout.flush()
        elif not self.quiet:
            sys.stderr.write(f"{summary(report, tally.standing(), unverified=tally.unverified)}\n")


def _all(tally: Tally, progress: Listener, json_lines: JsonLines | None) -> Listener:
    listeners: tuple[Listener, ...] = (tally, progress) if json_lines is None else (tally, progress, json_lines)

    def listen(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return listen
