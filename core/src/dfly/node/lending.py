"""What a task needs of a node daemon, in words of its own: ask, and be lent the files. `dfly.daemon.client` is one."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from dfly.backend import Backend, Secret, option_fields
from dfly.config import Fetch
from dfly.errors import SwarmError
from dfly.events import Listener
from dfly.values import Entry, Snapshot

if TYPE_CHECKING:
    from dfly.wire import Ask

#: Option values by field, secrets revealed.
Given = Mapping[str, str | tuple[str, ...]]


class LenderLost(SwarmError):
    """The daemon has gone away in the middle of a task."""

    usual_hint = "is dfdaemon still running?"


@attrs.frozen(kw_only=True)
class Lent:
    """One content, for all of `entries`: an open read-only descriptor, which the taker closes, and its size in bytes."""

    entries: tuple[Entry, ...]
    fd: int
    size: int


class Loan(Protocol):
    """A source that the daemon has resolved for this caller."""

    @property
    def snapshot(self) -> Snapshot:
        """What there is to be had."""

    def bring(self, entries: Sequence[Entry], *, emit: Listener, stop: threading.Event) -> Iterator[Lent]:
        """The files, each as soon as the daemon has it whole and verified; what happens meanwhile goes to `emit`.

        Raises LenderLost where the daemon goes away, or is done while files are lacking, Cancelled once `stop` is set, and what
        the daemon met.
        """

    def close(self) -> None:
        """Ask for nothing more."""


class Lender(Protocol):
    """A daemon on this machine."""

    def resolve(self, ask: "Ask", given: Given, *, settings: Fetch, stop: threading.Event) -> Loan | None:
        """The loan for `ask`; None where the daemon cannot or must not help, and the caller goes by itself.

        Raises OriginUnavailable and RateLimited, which the caller would meet as well, and Cancelled.
        """


def shown(backend_class: type[Backend], settings: Any) -> dict[str, str | tuple[str, ...]]:
    """The options that are set, by field, secrets revealed: for a daemon of this machine only, which knows no other."""
    found: dict[str, str | tuple[str, ...]] = {}
    for spec in option_fields(backend_class):
        value = getattr(settings, spec.field)
        if not value or value == spec.default:
            continue
        if isinstance(value, tuple | list):
            found[spec.field] = tuple(map(_plain, value))
        elif isinstance(value, str | Secret):
            found[spec.field] = _plain(value)
    return found


def _plain(value: Any) -> str:
    return value.reveal() if isinstance(value, Secret) else str(value)
