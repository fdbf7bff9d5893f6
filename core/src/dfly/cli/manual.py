"""What `dfget --help` says besides the flags: examples and exit codes."""

from collections.abc import Iterable

from dfly.backend import Backend
from dfly.cli.options import markup
from dfly.plugins import Broken

#: dfget's exit codes as `dfly.errors` defines them, 0 and the shell's own beside them.
EXIT_CODES = {
    0: "everything is verified and in place",
    1: "something else went wrong",
    2: "what was asked for cannot be; nothing was transferred",
    3: "a plugin is missing or broken",
    4: "no such repository, revision or file",
    5: "access denied",
    6: "the origin limits the rate",
    7: "the origin cannot be reached",
    8: "the origin's content changed meanwhile",
    9: "the origin cannot do this",
    10: "the bytes are not the promised ones",
    11: "the local disk would not take it",
    12: "the swarm could not serve",
    13: "--timeout ran out",
    130: "stopped by Ctrl-C; the same command goes on",
}

SUMMARY = """Fetch files, folders and whole repositories from model hubs, verified.

What is already there is not fetched again; what was interrupted goes on where it stopped.
A file appears under its name only when it is complete and right."""

_EXAMPLES = (
    ("dfget URL", "one file, under its own name"),
    ("dfget URL -O models/ -r", "everything below URL, in models/"),
    ("dfget URL -r --include '*.json' --dry-run", "what would be fetched"),
    ("dfget URL -O - | tar x", "one file, to a pipe"),
)


def epilog(backends: Iterable[type[Backend]], broken: Iterable[Broken]) -> str:
    """The end of the help page, as rich markup."""
    examples = [f"  {line:<42} {what}" for line, what in _EXAMPLES]
    examples += [f"  dfget {example}" for backend in backends for example in backend.examples]
    codes = [f"  {code:>3}  {what}" for code, what in EXIT_CODES.items()]
    parts = [
        ["Examples", *examples],
        ["Exit codes", *codes],
        ["Secrets", "  Prefer the environment: other users of a machine can read its command lines."],
    ]
    unusable = [f"  {one.distribution} ({one.scheme}://): {one.reason}" for one in broken]
    if unusable:
        parts.append(["Plugins that cannot be used", *unusable])
    return "\n\n".join(f"[bold]{title}[/bold]\n" + markup("\n".join(lines)) for title, *lines in parts)
