"""What of a snapshot travels to this machine through the swarm: a blob for each large file, one pack for all small ones.

In the ring a pack is a blob like any other. Only here, where it has arrived, is it files again: each is cut out, held against its
own digest and put in its place.
"""

import os
from collections.abc import Iterable, Mapping

import attrs

from dfly.errors import IntegrityError
from dfly.events import FileFinished, Listener
from dfly.node.arrival import Arrival
from dfly.node.at_once import write_at_once
from dfly.node.gather import Gathering, OnDisk
from dfly.output.place import PARTIALS, place
from dfly.output.plan import Target
from dfly.packs import Freight, Pack
from dfly.store.hashing import new_hash, pick
from dfly.values import Digest


@attrs.define(kw_only=True, eq=False)
class PackArrival(Arrival):
    """The pack of a snapshot's small files: gathers as one blob, settles as many files, each against its own digest.

    `wanted` maps a content's id to the targets that want it.
    """

    pack: Pack
    wanted: Mapping[str, list[Target]]

    @property
    def label(self) -> str:
        """What events call it."""
        return f"({self.files} small files)"

    @property
    def files(self) -> int:
        """All of the pack, wanted or not."""
        return len(self.pack.entries)

    @property
    def expected(self) -> tuple[Digest, ...]:
        """Nothing that the hub tells: it knows the files, each of which is checked when it is cut out."""
        return ()

    @property
    def place(self) -> str:
        """The same whichever of the files are missing."""
        return pack_place(self.root)

    def bytes_missing(self) -> int:
        """The pack itself lies on the disk while it is unpacked."""
        return 2 * (self.entry.size or 0)

    def _place(self, gathering: Gathering, size: int) -> None:  # noqa: ARG002 - each file has its own
        assert isinstance(gathering, OnDisk)
        for blob, (entry, start, stop) in zip(self.pack.blobs, self.pack.ranges(), strict=True):
            targets = self.wanted.get(blob, [])
            if not targets:
                continue
            data = os.pread(gathering.partial.fd, stop - start, start)
            expected = pick(entry.digests)
            if expected is not None:
                running = new_hash(expected.algorithm, len(data))
                running.update(data)
                if running.hexdigest() != expected.value:
                    raise IntegrityError(
                        entry.path, algorithm=expected.algorithm, expected=expected.value, actual=running.hexdigest()
                    )
            self._unpack(blob, data, targets)

    def _unpack(self, blob: str, data: bytes, targets: Iterable[Target]) -> None:  # noqa: ARG002 - one signature for all
        for target in targets:
            place(
                lambda final: write_at_once(data, final, hidden=f"{self.directory}.part"),
                target.path,
                entry=target.entry,
            )
            self.emit(FileFinished(path=target.entry.path, output=target.path, bytes=len(data)))


def pack_place(root: str) -> str:
    """What the partial of a pack below `root` is named after; no file has this name."""
    return os.path.join(root, PARTIALS, "pack")


def swarm_arrivals(freight: Freight, targets: Iterable[Target], *, root: str, emit: Listener) -> dict[str, Arrival]:
    """What travels for `targets`, by blob id, in the order in which it is fetched. Empty files are not among them."""
    wanted: dict[str, list[Target]] = {}
    by_path = {target.entry.path: target for target in targets}
    for blob, entry in freight.ids:
        if entry.path in by_path:
            wanted.setdefault(blob, []).append(by_path[entry.path])
    arrivals: dict[str, Arrival] = {}
    if freight.pack and any(blob in wanted for blob in freight.pack.blobs):
        pack = freight.pack
        chosen = {blob: wanted[blob] for blob in pack.blobs if blob in wanted}
        entry = pack.as_entry()
        first = next(iter(chosen.values()))
        arrivals[entry.identity] = PackArrival(
            blob=entry.identity,
            entry=entry,
            targets=first,
            root=root,
            emit=emit,
            swarmed=True,
            pack=pack,
            wanted=chosen,
        )
    for blob, entry in freight.blobs.items():
        if blob in wanted:
            arrivals[blob] = Arrival(blob=blob, entry=entry, targets=wanted[blob], root=root, emit=emit, swarmed=True)
    return arrivals
