"""What went wrong, said once: a line for the person, and an `error` event for the program that asked for JSON."""

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TextIO

import attrs

from dfly.cli.output import Failed
from dfly.cli.redaction import redact
from dfly.cli.streams import silence
from dfly.cli.units import printable
from dfly.config import is_set
from dfly.errors import DflyError, OutputError
from dfly.events import Listener

#: What the shell reports for a program whose reader went away.
EXIT_BROKEN_PIPE = 128 + 13
#: What a write answers where the disk takes no more. If the error names no file, it was a standard stream.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


@attrs.frozen(kw_only=True)
class Failures:
    """Says errors as `program`; `emit` gets the JSON form where there is one; `debug` adds the traceback.

    `debug_by` is how a user asks for that.
    """

    program: str
    stream: TextIO
    emit: Listener | None = None
    debug: bool = False
    debug_by: str = "--debug"

    def tell(self, error: BaseException) -> int:
        """Say what happened and return the exit code for it."""
        if self.debug:
            self._write(redact("".join(traceback.format_exception(error))))
        if isinstance(error, BrokenPipeError) or (
            isinstance(error, OSError) and error.errno in _FULL and error.filename is None
        ):
            return self.unheard(error)
        if isinstance(error, DflyError):
            return self._say(error)
        # the text of a foreign exception may hold a signed URL
        what = redact(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        return self.say(type(error).__name__, what, hint=f"this is a bug; {self.debug_by} shows where", exit_code=1)

    def unheard(self, error: OSError) -> int:
        """The same where `error` is what a standard stream answered."""
        silence(sys.stdout)
        if isinstance(error, BrokenPipeError):
            silence(self.stream)
            return EXIT_BROKEN_PIPE
        return self._say(OutputError.from_os(error, "standard output"))

    def say(self, kind: str, message: str, *, hint: str = "", exit_code: int) -> int:
        """The same for what is not an exception."""
        self._write(printable(f"{self.program}: {message}\n" + (f"{hint}\n" if hint else "")))
        if self.emit is not None:
            self.emit(Failed(type=kind, message=message, hint=hint, exit_code=exit_code))
        return exit_code

    def _say(self, error: DflyError) -> int:
        return self.say(type(error).__name__, error.message, hint=error.hint, exit_code=error.exit_code)

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError:
            # the exit code is what still says it
            silence(self.stream)


def wants_debug(argv: Sequence[str]) -> bool:
    """Whether tracebacks are asked for, by flag or variable, on a command line that is not parsed yet."""
    return "--debug" in argv or is_set(os.environ, "DFLY_DEBUG")
