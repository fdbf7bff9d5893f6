"""The three standard streams where they are not what a program expects: closed, full, or without a reader."""

import os
import sys
from contextlib import suppress
from typing import TextIO


def open_closed() -> None:
    """Make streams that this process was started without lead to nowhere.

    Else a file that is opened later would get one of their numbers, and what is meant for a terminal would be written into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # the lowest number that is free, so this one; children have it too
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for as long as the process lives


def say(stream: TextIO, text: str) -> None:
    """Write `text` now; where the stream takes no more, it is lost. For progress: what it tells of matters more.

    An error would surface in whatever thread tells; the last line that is written otherwise will meet it again.
    """
    with suppress(OSError):
        stream.write(text)
        stream.flush()


def silence(stream: TextIO) -> None:
    """Point a stream that takes no more at nothing, so that the interpreter's last flush does not complain."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):
        return
