"""Every error dfly raises, as one tree. The type says what to do about it, the message says it to a person.

    DflyError                    1
    ├── UsageError               2   what was asked for cannot be: nothing was transferred
    │   ├── UnknownScheme
    │   ├── NotAFile                 a repository or folder without -r
    │   └── UnsafePath
    ├── PluginError              3   a plugin is missing, broken, or breaks its contract
    ├── SourceError                  what the origin said
    │   ├── NotFound             4   repository, revision or file
    │   ├── AccessDenied         5   carries the page where access is granted
    │   ├── RateLimited          6   retried by the core after `after` seconds
    │   ├── OriginUnavailable    7   retried by the core with back-off
    │   ├── Changed              8   the origin no longer has the pinned content
    │   ├── Expired                  a signed link ran out; the core asks the backend again
    │   ├── RangesUnsupported        the core falls back to one stream
    │   ├── Untrusted                a certificate or redirect that must not be followed; never retried
    │   └── Unsupported          9
    ├── IntegrityError          10   the bytes are not the promised ones
    ├── OutputError             11   disk full, not writable
    │   └── InUse                    another dfly is writing there
    ├── SwarmError              12   seed peer gone and back-to-source not allowed, stalled, refused
    ├── TimedOut                13
    └── Cancelled              130

The numbers are dfget's exit codes; a branch without one inherits its parent's (SourceError has 1).
Messages never contain tokens or signed queries: build URLs for messages with `dfly.values.bare_url`.
"""

import errno
from typing import ClassVar


class DflyError(Exception):
    """Something dfly could not do.

    `message` says what happened and to what; `hint` says what to do next, `usual_hint` where nobody knows better.
    """

    exit_code: ClassVar[int] = 1
    usual_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(DflyError):
    """What was asked for cannot be done as asked."""

    exit_code = 2
    usual_hint = "dfget --help lists the flags"


def plugin_of(scheme: str) -> str:
    """The distribution that serves a scheme, if its author has followed the usual way to name it.

    >>> plugin_of("gopher"), plugin_of("https")
    ('dfly-plugin-gopher', 'dfly-plugin-http')
    """
    return f"dfly-plugin-{'http' if scheme == 'https' else scheme}"


class UnknownScheme(UsageError):
    """No installed plugin serves this URL scheme."""

    def __init__(self, scheme: str, installed: tuple[str, ...], *, hint: str = "") -> None:
        known = ", ".join(installed) or "none"
        super().__init__(
            f"no plugin for {scheme}:// is installed (installed: {known})",
            hint=hint or f"pip install {plugin_of(scheme)}",
        )
        self.scheme = scheme
        self.installed = installed


class NotAFile(UsageError):
    """The URL names a repository, folder or prefix where one file was asked for."""

    def __init__(self, url: str, *, hint: str = "add -r to fetch everything below it") -> None:
        super().__init__(f"{url} is not one file", hint=hint)
        self.url = url


class UnsafePath(UsageError):
    """A listing holds names that must not be written to this machine."""

    def __init__(self, problems: tuple[tuple[str, str], ...]) -> None:
        lines = "\n".join(f"  {path!r}: {why}" for path, why in problems[:10])
        more = f"\n  … and {len(problems) - 10} more" if len(problems) > 10 else ""
        super().__init__(
            f"refused {len(problems)} unsafe file name(s), nothing was written:\n{lines}{more}",
            hint="leave them out with --exclude, or fetch one by itself under a name of your own: -O NAME",
        )
        self.problems = problems


class PluginError(DflyError):
    """A plugin is broken or breaks its contract; names the distribution."""

    exit_code = 3
    usual_hint = "dfctl plugins shows what is installed; report this to the plugin's author"


class SourceError(DflyError):
    """What the origin said, or failed to say. `url` is bare: no user-info, no query."""

    def __init__(self, message: str, *, hint: str = "", url: str = "") -> None:
        super().__init__(message, hint=hint)
        self.url = url


class NotFound(SourceError):
    """`kind` is "repository", "revision", "file" or "bucket"."""

    exit_code = 4
    usual_hint = "check the spelling, and whether it is still there"

    def __init__(self, message: str, *, kind: str = "file", hint: str = "", url: str = "") -> None:
        super().__init__(message, hint=hint, url=url)
        self.kind = kind


class AccessDenied(SourceError):
    """The credentials given (or their absence) do not open this source. Never retried.

    Only who raises it knows what opens the door, so it has no usual hint: say which flag or page.
    """

    exit_code = 5


class RateLimited(SourceError):
    """The origin asked for patience: `after` seconds, or None where it did not say."""

    exit_code = 6
    usual_hint = "try again later, or with a token that has a higher quota"

    def __init__(self, message: str, *, after: float | None = None, hint: str = "", url: str = "") -> None:
        super().__init__(message, hint=hint, url=url)
        self.after = after


class OriginUnavailable(SourceError):
    """Connection refused or lost, time-out, 5xx, a body cut short: worth another try."""

    exit_code = 7
    usual_hint = "try again later: what has arrived is kept"


class Changed(SourceError):
    """The origin's content is no longer the pinned one."""

    exit_code = 8
    usual_hint = "run the command again"


class Expired(SourceError):
    """A signed link or session ran out: `locate` again and go on at the offset."""

    usual_hint = "run the command again, with a new link where the link was signed"


class RangesUnsupported(SourceError):
    """The origin answers a range with the whole file."""

    usual_hint = "the origin cannot continue a file in the middle; run the command again"


class Untrusted(SourceError):
    """The origin's certificate does not verify, or it redirects to a place that is less safe. Never retried."""

    usual_hint = "if that host is yours, give its authority's certificate with --ca-file"


class Unsupported(SourceError):
    """The backend cannot do this at all."""

    exit_code = 9
    usual_hint = "another URL of the same content may do; dfctl plugins lists what is installed"


class IntegrityError(DflyError):
    """The bytes are complete and wrong. Nothing of them is left at the final path."""

    exit_code = 10

    def __init__(self, path: str, *, algorithm: str, expected: str, actual: str, hint: str = "") -> None:
        super().__init__(
            f"{path}: {algorithm} is {actual}, expected {expected}",
            hint=hint
            or "the origin or a mirror in front of it serves wrong bytes; try again later or another endpoint",
        )
        self.path = path
        self.algorithm = algorithm
        self.expected = expected
        self.actual = actual


_ELSEWHERE = "choose another place with -O"


class OutputError(DflyError):
    """The local disk would not take it."""

    exit_code = 11
    usual_hint = _ELSEWHERE

    @classmethod
    def from_os(cls, error: OSError, path: str, *, kept: str = "", flag: str = "-O") -> "OutputError":
        """What `error` means for the person who wants `path`; `kept` says what is not lost, `flag` names places."""
        said, hint = _DISK_TROUBLE.get(error.errno or 0, (error.strerror or str(error), "" if kept else _ELSEWHERE))
        return cls(f"{path}: {said}", hint="; ".join(filter(None, (kept, hint.replace("-O", flag)))))

    @classmethod
    def unreadable(cls, error: OSError, path: str) -> "OutputError":
        """What `error` means for the person who gave `path` to be read."""
        return cls(f"{path}: {error.strerror or error}", hint="check the path, and whether you may read it")


class InUse(OutputError):
    """Another process is bringing the same file to the same place."""


_DISK_TROUBLE = {
    errno.ENOSPC: ("the disk is full", "free some space and run the same command again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run the same command again"),
    errno.EROFS: ("the file system is read-only", _ELSEWHERE),
    errno.EACCES: ("no permission to write there", f"{_ELSEWHERE}, or change the permissions"),
    errno.EPERM: ("no permission to write there", f"{_ELSEWHERE}, or change the permissions"),
    errno.EIO: ("the disk reports an input/output error", "check the disk before you trust it again"),
    errno.EFBIG: ("the file system takes no file this large", _ELSEWHERE),
}


class SwarmError(DflyError):
    """The seed peer or the swarm could not serve, and nothing else was allowed to."""

    exit_code = 12
    usual_hint = "without --no-back-to-source, dfget goes to the hub instead"


class OutOfReach(SwarmError):
    """No seed peer answers and no node sends anything: the swarm is gone, or this machine's own network is."""


class TimedOut(DflyError):
    """The whole task took longer than `--timeout`. What has arrived is kept for the next run."""

    exit_code = 13
    usual_hint = "run the same command again to go on"


class Cancelled(DflyError):
    """Stopped by the user. What has arrived is kept for the next run."""

    exit_code = 130

    def __init__(self, message: str = "cancelled; run the same command again to go on") -> None:
        super().__init__(message)
