"""A snapshot's small files travel as one blob: the *pack*, their bytes one after the other in path order.

Ten thousand files of a dataset would be ten thousand torrents and round trips per node. As a pack they are a few segments of
one blob, which streams round the ring like any other; each file is cut out again and checked against its own digest.
The pack of a snapshot is a pure function of the snapshot, so seed peers and nodes agree on it without a word.
"""

import hashlib
import json
from collections.abc import Iterator

import attrs

from dfly.layout import SMALL
from dfly.values import Entry, Snapshot


@attrs.frozen
class Pack:
    """`entries` one after the other, each starting at its offset in bytes; `blobs` are the ids of their contents."""

    entries: tuple[Entry, ...]
    blobs: tuple[str, ...]

    @property
    def blob(self) -> str:
        """The id of the pack as a blob."""
        names = [[blob, entry.size] for blob, entry in zip(self.blobs, self.entries, strict=True)]
        return "pack-" + hashlib.sha256(json.dumps(names, separators=(",", ":")).encode()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of the whole pack."""
        return sum(entry.size or 0 for entry in self.entries)

    def as_entry(self) -> Entry:
        """The pack as one file of the swarm, its id as `identity`; no origin has it."""
        blob = self.blob
        return Entry(path=f"pack of {len(self.entries)}", size=self.size, url="", identity=blob, validator=blob)

    def ranges(self) -> Iterator[tuple[Entry, int, int]]:
        """Each entry with its `(start, stop)` in the pack."""
        at = 0
        for entry in self.entries:
            size = entry.size or 0
            yield entry, at, at + size
            at += size


@attrs.frozen
class Freight:
    """How a snapshot travels: `empty` files need no transfer, `pack` (or None) holds the small ones, `blobs` are the rest.

    `blobs` maps a blob id to its entry; two entries with one content are one blob. `ids` are all entries with their content's id.
    """

    empty: tuple[Entry, ...]
    pack: Pack | None
    blobs: dict[str, Entry]
    ids: tuple[tuple[str, Entry], ...]

    @classmethod
    def of(cls, snapshot: Snapshot, *, task: str) -> "Freight":
        """The freight of a selected snapshot. Blobs that nothing pins get an id that only this `task` uses."""
        small: dict[str, Entry] = {}
        large: dict[str, Entry] = {}
        empty: list[Entry] = []
        ids = [(entry_blob(entry, snapshot, task=task), entry) for entry in snapshot.entries]
        for blob, entry in ids:
            if entry.size == 0:
                empty.append(entry)
            elif entry.size is not None and entry.size <= SMALL:
                small.setdefault(blob, entry)
            else:
                large.setdefault(blob, entry)
        if len(small) == 1:
            large = {**small, **large}
            small = {}
        return cls(tuple(empty), Pack(tuple(small.values()), tuple(small)) if small else None, large, tuple(ids))

    def sizes(self) -> dict[str, int | None]:
        """The size of every blob that travels, the pack first, in the order in which they are fetched."""
        first: dict[str, int | None] = {self.pack.blob: self.pack.size} if self.pack else {}
        return first | {blob: entry.size for blob, entry in self.blobs.items()}


def entry_blob(entry: Entry, snapshot: Snapshot, *, task: str) -> str:
    """The id that the content of an entry of `snapshot` is kept under: one that belongs to `task` where nothing pins it."""
    kept = snapshot.blob_of(entry)
    return kept or "alone-" + hashlib.sha256(f"{task}\0{entry.identity}\0{entry.path}".encode()).hexdigest()
