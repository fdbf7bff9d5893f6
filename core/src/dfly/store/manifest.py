"""What an archive says of itself, before any content: the snapshots in it, and their blobs (`docs/airgap.md`).

An archive crosses a border and may have been in anybody's hands. So its manifest has exactly one form: what is read must be what
`encode` would write, byte for byte, and whatever follows from something else in it is computed instead of believed. A blob that
no file needs, an id that is a path or a second opinion about a size cannot even be said.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Self

import attrs

from dfly.errors import UsageError
from dfly.values import LAYOUT_VERSION, Digest, Entry, Snapshot
from dfly.wire.fields import WireError, count, digest_of, get, is_a, parsed, strings

FORMAT, VERSION = "dfly archive", 1
#: Bytes of the largest manifest that is written or read: some 300,000 files.
LARGEST = 128 << 20
#: Names of one snapshot, and patterns that chose from it.
MOST_NAMES, _MOST_PATTERNS = 32, 1000
_SHA256 = re.compile(r"[0-9a-f]{64}")


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


@attrs.frozen(order=True)
class ArchivedBlob:
    """One content: its id, its `size` in bytes, and the SHA-256 of the bytes in the archive."""

    id: str
    size: int
    sha256: str


@attrs.frozen(kw_only=True)
class Archived:
    """A snapshot, and what it answers: `names` are the URLs that it was asked by, `revisions` what its revision was called.

    `recursive`, `include` and `exclude` are how its files were chosen: one with patterns is a part of what its source holds.
    """

    snapshot: Snapshot
    recursive: bool = True
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    names: tuple[str, ...] = attrs.field(default=(), converter=_sorted)
    revisions: tuple[str, ...] = attrs.field(default=(), converter=_sorted)


def _in_order(snapshots: Iterable[Archived]) -> tuple[Archived, ...]:
    return tuple(sorted(snapshots, key=lambda each: (each.snapshot.source, each.snapshot.id)))


def _by_id(blobs: Iterable[ArchivedBlob]) -> tuple[ArchivedBlob, ...]:
    return tuple(sorted(blobs))


@attrs.frozen(kw_only=True)
class Manifest:
    """Snapshots, and all blobs that their files need, sorted by id. Empty files have none."""

    snapshots: tuple[Archived, ...] = attrs.field(converter=_in_order)
    blobs: tuple[ArchivedBlob, ...] = attrs.field(converter=_by_id)

    @property
    def size(self) -> int:
        """Bytes of all blobs."""
        return sum(blob.size for blob in self.blobs)

    def entries(self) -> dict[str, list[Entry]]:
        """The files that have each blob's content, by its id."""
        found: dict[str, list[Entry]] = {}
        for archived in self.snapshots:
            for entry in archived.snapshot.entries:
                if entry.size:
                    found.setdefault(str(entry.blob), []).append(entry)
        return found

    def encode(self) -> bytes:
        """The JSON, always the same for the same snapshots. Raises UsageError where it would be larger than LARGEST."""
        said = {
            "format": FORMAT,
            "version": VERSION,
            "snapshots": [_snapshot_to_json(archived) for archived in self.snapshots],
            "blobs": [[blob.id, blob.size, blob.sha256] for blob in self.blobs],
        }
        data = json.dumps(said, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        if len(data) > LARGEST:
            raise UsageError("too many files for one archive", hint="export fewer snapshots at once")
        return data

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises UsageError for whatever `encode` would not have written."""
        try:
            said = parsed(data, cap=LARGEST)
            if said.get("format") != FORMAT:
                raise WireError("it is of another format")  # noqa: TRY301 - one place for all that is wrong
            if get(said, "version", int) != VERSION:
                raise UsageError(
                    f"the archive is of version {said['version']}, this dfly reads version {VERSION}",
                    hint="import it with the dfly that wrote it, or a newer one",
                )
            manifest = cls(
                snapshots=[_snapshot_from_json(is_a(each, dict)) for each in get(said, "snapshots", list)],
                blobs=[_blob_from_json(row) for row in get(said, "blobs", list)],
            )
            _check(manifest)
            if manifest.encode() != data:
                raise WireError("it is not in the one form that export writes")  # noqa: TRY301 - as above
        except (WireError, RecursionError, UnicodeError) as error:
            what = error.message.removeprefix("bad message: ") if isinstance(error, WireError) else "not text"
            raise refused(f"its manifest is wrong: {what}") from error
        return manifest


def refused(why: str) -> UsageError:
    """The error for an archive that is not as it should be."""
    return UsageError(f"the archive is refused: {why}", hint="export it again, and compare the copies' SHA-256")


def _snapshot_to_json(archived: Archived) -> dict[str, Any]:
    snapshot = archived.snapshot
    return {
        "source": snapshot.source,
        "revision": snapshot.revision,
        "name": snapshot.name,
        "layout": snapshot.layout,
        "names": archived.names,
        "revisions": archived.revisions,
        "recursive": archived.recursive,
        "include": archived.include,
        "exclude": archived.exclude,
        "entries": [_entry_to_json(entry) for entry in snapshot.entries],
    }


def _snapshot_from_json(said: Mapping[str, Any]) -> Archived:
    if get(said, "layout", int) != LAYOUT_VERSION:
        raise WireError(f"blobs are cut by rule {said['layout']}, this dfly knows rule {LAYOUT_VERSION}")
    archived = Archived(
        snapshot=Snapshot(
            source=get(said, "source", str),
            name=get(said, "name", str),
            entries=[_entry_from_json(is_a(each, dict)) for each in get(said, "entries", list)],
            revision=None if said.get("revision") is None else get(said, "revision", str),
        ),
        recursive=get(said, "recursive", bool),
        include=strings(said, "include"),
        exclude=strings(said, "exclude"),
        names=strings(said, "names"),
        revisions=strings(said, "revisions"),
    )
    if max(len(archived.names), len(archived.revisions)) > MOST_NAMES:
        raise WireError(f"a snapshot has more than {MOST_NAMES} names")
    if len(archived.include) + len(archived.exclude) > _MOST_PATTERNS:
        raise WireError(f"a snapshot was chosen by more than {_MOST_PATTERNS} patterns")
    return archived


def _entry_to_json(entry: Entry) -> dict[str, Any]:
    return {
        "path": entry.path,
        "size": entry.size,
        "blob": entry.blob if entry.size else None,
        "digests": [[digest.algorithm, digest.value] for digest in entry.digests],
        "url": entry.url,
        "identity": entry.identity,
        "validator": entry.validator,
    }


def _entry_from_json(said: Mapping[str, Any]) -> Entry:
    return Entry(
        path=get(said, "path", str),
        size=count(said, "size"),
        url=get(said, "url", str),
        identity=get(said, "identity", str),
        digests=tuple(_digest_from_json(row) for row in get(said, "digests", list)),
        validator=None if said.get("validator") is None else get(said, "validator", str),
    )


def _digest_from_json(row: Any) -> Digest:
    if not isinstance(row, list) or len(row) != 2:
        raise WireError("a digest is not a pair")
    return digest_of(*row)


def _blob_from_json(row: Any) -> ArchivedBlob:
    if not isinstance(row, list) or len(row) != 3:
        raise WireError("a blob is not a row of three")
    blob = ArchivedBlob(is_a(row[0], str), is_a(row[1], int), is_a(row[2], str))
    if not _SHA256.fullmatch(blob.sha256):
        raise WireError(f"{blob.sha256[:80]!r} is not a SHA-256")
    return blob


def _check(manifest: Manifest) -> None:
    """Raise WireError unless the blobs are those of the files, each once, and of the size and digest that these say."""
    sources = [archived.snapshot.id for archived in manifest.snapshots]
    if not sources or len(set(sources)) < len(sources):
        raise WireError("a snapshot is in it twice" if sources else "there is no snapshot in it")
    unpinned = [e.path for archived in manifest.snapshots for e in archived.snapshot.entries if e.size and not e.blob]
    if unpinned:
        raise WireError(f"nothing pins the content of {unpinned[0][:80]!r}")
    for archived in manifest.snapshots:
        name, paths = archived.snapshot.name, [entry.path for entry in archived.snapshot.entries]
        if "/" in name or any(map(_leads_away, (name, *paths))):
            raise WireError(f"a name in {archived.snapshot.source[:200]!r} leads elsewhere")
    needed = manifest.entries()
    if [blob.id for blob in manifest.blobs] != sorted(needed):
        raise WireError("its blobs are not those of its files")
    for blob in manifest.blobs:
        for entry in needed[blob.id]:
            if entry.size != blob.size or entry.digest("sha256") not in (None, blob.sha256):
                raise WireError(f"{entry.path[:80]!r} and its blob have different sizes or digests")


def _leads_away(path: str) -> bool:
    """Whether a name leaves the folder that it is written below: nodes refuse it, and none would look for it in an archive."""
    parts = path.replace("\\", "/").split("/")
    return not {"", ".", ".."}.isdisjoint(parts) or any(ord(c) < 32 or ord(c) == 127 for c in path)
