"""Progress while a task runs: a bar on a terminal, a plain line now and then elsewhere. Both only listen to events.

They count written bytes; so that 100 % and then silence does not mislead, the last step is named ("verifying").
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from dfly.cli.streams import say
from dfly.cli.tally import ActiveFile, Speed, Standing, Tally
from dfly.cli.units import after_text, count_text, duration_text, printable, rate_text, size_text
from dfly.events import Event, Listener, Retrying, Stalled, Warned

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

Clock = Callable[[], float]

#: Lines for files that the bar shows at most.
SHOWN_FILES = 8


class Lines:
    """For logs and pipes: where things stand, at most every `every` seconds, and trouble by name as it comes.

    `every` infinite leaves only the trouble. Where `stream` takes no more, it goes quiet: the files are what matters.
    """

    def __init__(self, tally: Tally, stream: TextIO, *, every: float = 10.0, clock: Clock = time.monotonic) -> None:
        self._tally = tally
        self._stream = stream
        self._every = every
        self._clock = clock
        self._speed = Speed(window=30.0)
        self._last = clock()
        self._last_trouble = -math.inf
        self._unsaid = 0
        self._speed.sample(self._last, 0)

    def __call__(self, event: Event) -> None:
        """Print what is due. The tally has this event already."""
        now = self._clock()
        match event:
            case Warned(message=message):
                self._say(f"warning: {message}")
            case Retrying():
                self._trouble(now, f"{trouble_text(event)}; trying again {after_text(event.after)}")
            case Stalled():
                waited = duration_text(event.seconds)
                self._trouble(now, f"{event.path}: nothing for {waited}, waiting for {event.cause}")
        if now - self._last >= self._every:
            self._last = now
            standing = self._tally.standing()
            self._say(standing_text(standing, self._speed.sample(now, standing.moved)))

    def _trouble(self, now: float, text: str) -> None:
        """A hub that is down fails all workers at once: one line stands for those of the same two seconds."""
        if now - self._last_trouble < 2.0:
            self._unsaid += 1
            return
        self._last_trouble = now
        self._say(text + (f" (and {self._unsaid} more since the last such line)" if self._unsaid else ""))
        self._unsaid = 0

    def _say(self, text: str) -> None:
        say(self._stream, f"dfget: {printable(text)}\n")


def trouble_text(event: Retrying) -> str:
    """What failed and why, each named once: most causes begin with the host or file that they are about.

    >>> trouble_text(Retrying(path="http://host:80", cause="host: connection refused", after=1))
    'host: connection refused'
    """
    names = {event.path, event.path.partition("://")[2].removesuffix(":443").removesuffix(":80")} - {""}
    named = any(event.cause.startswith((f"{name}:", f"{name}/")) for name in names)
    return event.cause if named else f"{event.path}: {event.cause}"


def standing_text(standing: Standing, rate: float) -> str:
    """One line: `57.2 MB of 90.9 MB (63 %), 75.0 MB/s, 8 of 13 files, about 1 s left`."""
    if not standing.files:
        parts = ["asking for the list of files"]
    else:
        parts = [
            _done_text(standing),
            rate_text(rate),
            f"{standing.files_done:,} of {count_text(standing.files, 'file')}",
        ]
    left = seconds_left(standing, rate)
    if left is not None:
        parts.append(f"about {duration_text(left)} left")
    if standing.retries:
        parts.append("1 retry" if standing.retries == 1 else f"{standing.retries:,} retries")
    return ", ".join(parts)


def _done_text(standing: Standing) -> str:
    done = size_text(standing.done)
    if standing.total is not None and standing.fraction is not None:
        done += f" of {size_text(standing.total)} ({int(standing.fraction * 100)} %)"
    return done


def seconds_left(standing: Standing, rate: float) -> float | None:
    """How long the rest takes at `rate`; None where that cannot be told."""
    if standing.total is None or rate <= 0 or standing.done >= standing.total:
        return None
    return (standing.total - standing.done) / rate


class Bar:
    """On a terminal: one bar for everything, below it the files on their way. Drawn at its own pace."""

    def __init__(self, tally: Tally, console: "Console", *, clock: Clock = time.monotonic) -> None:
        from rich.live import Live

        self._tally = tally
        self._console = console
        self._clock = clock
        self._speed = Speed()
        self._live = Live(
            get_renderable=self.draw,
            console=console,
            refresh_per_second=8,
            transient=True,
        )

    def __call__(self, event: Event) -> None:
        """Show warnings at once; the rest is drawn from the tally."""
        if isinstance(event, Warned):
            self._console.print(f"dfget: warning: {printable(event.message)}", markup=False, highlight=False)

    @contextmanager
    def shown(self) -> Iterator[Listener]:
        """On the screen while entered; leaves nothing behind."""
        self._speed.sample(self._clock(), self._tally.standing().moved)
        with self._live:
            yield self

    def draw(self) -> "RenderableType":
        """The picture of this moment."""
        from rich.console import Group
        from rich.text import Text

        standing = self._tally.standing()
        rate = self._speed.sample(self._clock(), standing.moved)
        shown = standing.active[:SHOWN_FILES]
        lines: list[RenderableType] = [self._total(standing, rate)]
        if shown:
            lines.append(_file_lines(shown, width=self._console.width))
        if len(standing.active) > len(shown):
            lines.append(Text(f"  … and {len(standing.active) - len(shown)} more", style="dim"))
        return Group(*lines)

    def _total(self, standing: Standing, rate: float) -> "Table":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        fraction = standing.fraction
        pulse = fraction is None or not standing.files
        bar = ProgressBar(total=1.0, completed=fraction or 0.0, pulse=pulse, animation_time=self._clock())
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row(bar, Text(standing_text(standing, rate)))
        return grid


def _file_lines(files: tuple[ActiveFile, ...], *, width: int) -> "Table":
    from rich.table import Table
    from rich.text import Text

    half = max(10, width // 2 - 1)
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(width=half, no_wrap=True, overflow="ellipsis")
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for file in files:
        size = f" of {size_text(file.size)}" if file.size is not None else ""
        # the end of a long path tells more than its beginning
        name = Text("  " + _tail(printable(file.path), half - 2), style="cyan")
        grid.add_row(
            name, Text(printable(file.note), style="yellow") if file.note else Text(size_text(file.done) + size)
        )
    return grid


def _tail(text: str, width: int) -> str:
    return text if len(text) <= width else "…" + text[-width + 1 :]
