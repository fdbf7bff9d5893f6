"""Archives of made-up snapshots, whole and hostile, for tests that need no hub."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Mapping

import attrs

from dfly.store import archive
from dfly.store.manifest import Archived, ArchivedBlob, Manifest
from dfly.values import Digest, Entry, Snapshot

COMMIT = "4" * 40


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def entry(path: str, data: bytes, *, repo: str = "org/model", commit: str = COMMIT, strong: bool = True) -> Entry:
    digest = Digest("sha256", sha256(data)) if strong else Digest("git-sha1", git_sha1(data))
    return Entry(
        path=path,
        size=len(data),
        url=f"hf://{repo}@{commit}/{path}",
        identity=f"hf:https://hub.example/models/{repo}/{path}",
        digests=(digest,),
        validator=str(digest),
    )


def archived(files: Mapping[str, bytes], *, repo: str = "org/model", commit: str = COMMIT, **more) -> Archived:
    entries = [entry(path, data, repo=repo, commit=commit, strong=len(data) > 1000) for path, data in files.items()]
    snapshot = Snapshot(f"hf://{repo}@{commit}", repo.rpartition("/")[2], entries, commit)
    return Archived(snapshot=snapshot, **{"names": (f"hf://{repo}",), **more})


def manifest_of(*snapshots: Archived, files: Mapping[str, bytes]) -> Manifest:
    """`files` has the content of every path."""
    blobs = {
        entry.blob: ArchivedBlob(entry.blob, entry.size, sha256(files[entry.path]))
        for each in snapshots
        for entry in each.snapshot.entries
        if entry.size
    }
    return Manifest(snapshots=snapshots, blobs=blobs.values())


def written(files: Mapping[str, bytes], **more) -> bytes:
    """An archive of one snapshot with these files."""
    manifest = manifest_of(archived(files, **more), files=files)
    contents = {entry.blob: files[entry.path] for entry in manifest.snapshots[0].snapshot.entries}
    return b"".join(archive.write(manifest, lambda blob: [contents[blob.id]]))


def reading(data: bytes) -> archive.Read:
    return io.BytesIO(data).read


def read(data: bytes) -> Manifest:
    """Read all of an archive; its manifest."""
    reader = archive.Reader(reading(data))
    for _, chunks in reader.blobs():
        for _ in chunks:
            pass
    return reader.manifest


@attrs.frozen
class Member:
    """A member as an attacker would write it; `size` is what the header says."""

    name: str
    content: bytes = b""
    kind: bytes = b"0"
    size: int | None = None
    mode: bytes = b"0000644"
    uid: bytes = b"0000000"
    mtime: bytes = b"0" * 11
    link: bytes = b""

    def packed(self) -> bytes:
        size = len(self.content) if self.size is None else self.size
        block = bytearray(archive._block(self.name.encode(), size, self.kind))
        for at, field in ((100, self.mode), (108, self.uid), (136, self.mtime), (157, self.link), (148, b" " * 8)):
            block[at : at + len(field)] = field
        block[148:156] = b"%06o\0 " % sum(block)
        return bytes(block) + self.content + bytes(-len(self.content) % 512)


def repacked(data: bytes, change: Callable[[list[Member]], Iterable[Member]]) -> bytes:
    """The archive with other members: `change` gets those that are in it."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = [Member(member.name, tar.extractfile(member).read()) for member in tar.getmembers()]
    return b"".join(member.packed() for member in change(members)) + bytes(1024)


def with_manifest(data: bytes, change) -> bytes:
    """The archive with another manifest: `change` gets the JSON and changes it, the rest stays as it is."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        said = json.loads(tar.extractfile("manifest.json").read())
        rest = data[tar.getmembers()[1].offset :] if len(tar.getmembers()) > 1 else bytes(1024)
    said = change(said) or said
    text = said if isinstance(said, bytes) else json.dumps(said, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    return archive._header("manifest.json", len(text)) + text + bytes(-len(text) % 512) + rest
