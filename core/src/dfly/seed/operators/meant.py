"""What an operator means by a name: a snapshot's id or the beginning of it, its pinned source, or a URL that was asked for."""

import re
from collections.abc import Iterable
from typing import Protocol, TypeVar

from dfly.errors import UsageError
from dfly.values import bare_task

#: What may be the beginning of an id: `dfctl ls` shows eight digits.
_BEGINNING = re.compile("[0-9a-f]{6,32}")


class Named(Protocol):
    """A snapshot that is remembered."""

    @property
    def task(self) -> str:
        """Its id; of a private one with the seal behind it."""

    @property
    def names(self) -> tuple[str, ...]:
        """The URLs that it goes by."""


N = TypeVar("N", bound=Named)


def meant(name: str, snapshots: Iterable[N]) -> list[N]:
    """Those of `snapshots` that `name` means, in their order: several where a URL was asked for at several times.

    Raises UsageError where it is the beginning of several ids.
    """
    snapshots = list(snapshots)
    found = [each for each in snapshots if name in (each.task, bare_task(each.task)) or name in each.names]
    if found or not _BEGINNING.fullmatch(name):
        return found
    found = [each for each in snapshots if bare_task(each.task).startswith(name)]
    ids = sorted({bare_task(each.task) for each in found})
    if len(ids) > 1:
        raise UsageError(f"{len(ids)} ids begin with {name}: {', '.join(ids[:5])}", hint="give more digits of it")
    return found
