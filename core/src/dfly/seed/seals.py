"""What a seed peer gives a node to carry, so that the next one need not ask the hub, nor fetch what nodes hold.

A *MAC* goes with every published segment and says: these are its hashes. A *seal* goes with every resolved snapshot and says:
the hub let this caller, with these secrets, have exactly this. It names what was asked for, because that is what --allow-source
is about, and runs out, because a token may be revoked.
"""

import base64
import binascii
import hmac
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import attrs

from dfly.seed.keys import Keys
from dfly.seed.options import CallerOptions
from dfly.values import Snapshot, bare_url
from dfly.wire import Resolved, Segment

#: Seconds for which a seal counts.
LIFETIME = 24 * 3600

#: All that a snapshot says, in few words.
Content = tuple[str, str, str]


class Seals(Protocol):
    """Marks what is published, and knows such marks again."""

    def mac(self, segment: Segment) -> str:
        """The mark of a segment, in hex; "" where there is none to give."""

    def believes(self, segment: Segment) -> bool:
        """Whether a seed peer has published this segment."""


@attrs.frozen(kw_only=True)
class ClusterSeals:
    """Those of all seed peers with the same keys. `now` is Unix time."""

    keys: Keys
    now: Callable[[], float] = time.time

    def mac(self, segment: Segment) -> str:
        """See Seals."""
        numbers = f"{segment.index} {segment.size} {segment.attempt}"
        return self.keys.seal("segment", segment.blob, numbers, segment.hashes).hex()

    def believes(self, segment: Segment) -> bool:
        """See Seals."""
        return hmac.compare_digest(segment.mac.encode("utf-8", "replace"), self.mac(segment).encode())

    def prove(self, url: str, task: str, content: Content, caller: CallerOptions) -> str:
        """The seal for a caller that asked for `url` and was admitted to `content`."""
        return self._sealed(f"{int(self.now()) + LIFETIME}.{_packed(bare_url(url))}", task, content, caller)

    def proven(self, known: Resolved, caller: CallerOptions) -> str | None:
        """The bare URL that was asked for, where the seal is right, this caller's, and not too old."""
        head, _, _ = known.seal.rpartition(".")
        expires, _, packed = head.partition(".")
        right = self._sealed(head, known.task, content_of(known.snapshot), caller)
        if not hmac.compare_digest(known.seal.encode("utf-8", "replace"), right.encode("utf-8", "replace")):
            return None
        return _unpacked(packed) if self.now() < int(expires) else None

    def _sealed(self, head: str, task: str, content: Content, caller: CallerOptions) -> str:
        parts = (head, task, *content, caller.secrets, *caller.endpoints)
        return f"{head}.{self.keys.seal('snapshot', *parts).hex()}"


class RememberedSeals:
    """Those of a node that stands in: it has no key, but remembers what the seed peer told it, marks included."""

    def __init__(self, known: Iterable[Segment]) -> None:
        self._known = {(segment.blob, segment.index): segment for segment in known}

    def mac(self, segment: Segment) -> str:
        """See Seals: what the seed peer gave, so that the next one can be told."""
        known = self._known.get((segment.blob, segment.index))
        return known.mac if known is not None and _same(known, segment) else ""

    def believes(self, segment: Segment) -> bool:
        """See Seals."""
        known = self._known.get((segment.blob, segment.index))
        return known is not None and _same(known, segment)


def content_of(snapshot: Snapshot) -> Content:
    """What a seal is on. Takes a while for a large one."""
    return snapshot.id, snapshot.name, str(snapshot.public)


def _same(one: Segment, other: Segment) -> bool:
    return (one.size, one.attempt, one.hashes) == (other.size, other.attempt, other.hashes)


def _packed(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).rstrip(b"=").decode()


def _unpacked(text: str) -> str | None:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("utf-8", "surrogatepass")
    except (ValueError, binascii.Error):
        return None
