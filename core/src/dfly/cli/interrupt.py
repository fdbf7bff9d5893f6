"""The first Ctrl-C stops the task so that nothing is lost; the second ends the process at once."""

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Self

_SHOW_CURSOR = b"\x1b[?25h"


class Interruption:
    """While entered, SIGINT and SIGTERM set `cancel`. `exit_code` is what the shell expects after such a signal.

    `keeping` says that what has arrived is kept.

    A handler, not KeyboardInterrupt: that would break out of whatever line runs, within a journal entry for example.
    """

    def __init__(self, cancel: threading.Event, *, keeping: bool = True) -> None:
        self._cancel = cancel
        self._keeping = b" and keeping what has arrived" if keeping else b""
        self._before: dict[int, object] = {}
        self.signal: int | None = None

    @property
    def exit_code(self) -> int:
        """128 and the number of the signal that came; SIGINT's where none did."""
        return 128 + (self.signal or signal.SIGINT)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None:
            if os.isatty(2):
                _say(_SHOW_CURSOR)
            os._exit(128 + number)
        self.signal = number
        self._cancel.set()
        _say(b"\ndfget: stopping" + self._keeping + b"; once more to stop at once\n")


def _say(text: bytes) -> None:
    # Ctrl-C has ended a `| tee log` as well, and an error would come out of whatever line was interrupted
    with contextlib.suppress(OSError):
        # os.write, because a handler may interrupt sys.stderr.write, which cannot be entered twice
        os.write(2, text)
