"""Where a task's files go: what a task asks of it, and the plain answer, files and folders of the user's own."""

import os
import threading
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import unquote

import attrs

from dfly.events import Listener
from dfly.output.plan import Target, plan
from dfly.values import Snapshot


class Outputs(Protocol):
    """The places of one task. `plan` comes first, and again where the source turns out to have other files."""

    def plan(self, snapshot: Snapshot) -> list[Target]:
        """Each content's place. Raises UsageError and OutputError."""

    def occupied(self) -> bool:
        """Whether some of it may be in place already, as far as that shows before anything is resolved."""

    def listed(self, targets: Sequence[Target]) -> list[tuple[Target, str]]:
        """Each file of the snapshot with its path, as the user finds it; `targets` are those of `plan`."""

    def root(self, targets: Sequence[Target]) -> str:
        """The folder that the task stays inside."""

    def name(self, targets: Sequence[Target]) -> str:
        """What to call the output."""

    def claim(self, wanted: Sequence[Target], *, emit: Listener, stop: threading.Event) -> bool:
        """Keep others from bringing `wanted`; True where some of it may have been brought meanwhile. Raises Cancelled."""

    def finish(self, targets: Sequence[Target], *, emit: Listener, stop: threading.Event) -> None:
        """All contents are in place: make them files. Raises Cancelled."""

    def close(self) -> None:
        """Let the others go on. May be called twice."""


@attrs.frozen
class Plain:
    """A file, or a folder of them, from `url` at `where` (see `dfly.fetch`); "-" is standard output."""

    where: str | None
    recursive: bool
    url: str

    def plan(self, snapshot: Snapshot) -> list[Target]:
        """See Outputs."""
        if self.where == "-":
            return [Target(entry, "-") for entry in snapshot.entries]
        return plan(snapshot, self.where, recursive=self.recursive)

    def occupied(self) -> bool:
        """See Outputs."""
        within = self.where or os.curdir
        try:
            names = os.listdir(within)
        except NotADirectoryError:
            return True  # the file itself
        except OSError:
            return False
        if self.where and self.recursive:
            return bool(names)
        # what it will be called only the source can say, but hardly a name that its URL does not have in it
        url = unquote(self.url)
        return any(name in url for name in names)

    def listed(self, targets: Sequence[Target]) -> list[tuple[Target, str]]:
        """See Outputs."""
        return [(target, target.path) for target in targets]

    def root(self, targets: Sequence[Target]) -> str:
        """See Outputs."""
        return _folder(targets, recursive=self.recursive)

    def name(self, targets: Sequence[Target]) -> str:
        """See Outputs: the folder with -r, else the file."""
        return _folder(targets, recursive=True) if self.recursive or not targets else targets[0].path

    def claim(self, wanted: Sequence[Target], *, emit: Listener, stop: threading.Event) -> bool:  # noqa: ARG002
        """Nothing: who brings a file holds its partial."""
        return False

    def finish(self, targets: Sequence[Target], *, emit: Listener, stop: threading.Event) -> None:
        """Nothing: contents are files here."""

    def close(self) -> None:
        """Nothing."""


def _folder(targets: Sequence[Target], *, recursive: bool) -> str:
    if not targets:
        return "."
    first = targets[0]
    if not recursive:
        return os.path.dirname(first.path) or "."
    return first.path[: -len(first.entry.path)].rstrip("/") or "/"
