"""What went wrong, said once: a line for the person, and an `error` event for the program that asked for JSON."""

import os
import sys
import traceback
from typing import TextIO

import attrs

from dfly.cli.output import Failed
from dfly.cli.redaction import redact
from dfly.cli.units import printable
from dfly.errors import DflyError
from dfly.events import Listener

#: What the shell reports for a program whose reader went away.
EXIT_BROKEN_PIPE = 128 + 13


@attrs.frozen(kw_only=True)
class Failures:
    """Says errors as `program`; `emit` gets the JSON form where there is one; `debug` adds the traceback."""

    program: str
    stream: TextIO
    emit: Listener | None = None
    debug: bool = False

    def tell(self, error: BaseException) -> int:
        """Say what happened and return the exit code for it."""
        if self.debug:
            self.stream.write(redact("".join(traceback.format_exception(error))))
        if isinstance(error, BrokenPipeError):
            silence(sys.stdout)
            return EXIT_BROKEN_PIPE
        if isinstance(error, DflyError):
            return self.say(type(error).__name__, error.message, hint=error.hint, exit_code=error.exit_code)
        # the text of a foreign exception may hold a signed URL
        what = redact(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        return self.say(type(error).__name__, what, hint="this is a bug; --debug shows where", exit_code=1)

    def say(self, kind: str, message: str, *, hint: str = "", exit_code: int) -> int:
        """The same for what is not an exception."""
        self.stream.write(printable(f"{self.program}: {message}\n" + (f"{hint}\n" if hint else "")))
        self.stream.flush()
        if self.emit is not None:
            self.emit(Failed(type=kind, message=message, hint=hint, exit_code=exit_code))
        return exit_code


def silence(stream: TextIO) -> None:
    """Point a stream whose reader is gone at nothing, so that the interpreter's last flush does not complain."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):
        return
