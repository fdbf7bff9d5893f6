"""What is written last about a blob, and makes it committed: a small JSON file beside the data.

Blobs are committed without waiting for the disk, because somebody waits for them. Until a blob is synced, its meta is
worth something in the boot it was written in only, exactly as a journal's lines are.
"""

import json
import os

import attrs

from dfly.boot import boot_id


@attrs.frozen(kw_only=True)
class Meta:
    """`size` in bytes, `sha256` of the data, `sources` the bare URLs it came from; `synced`: trusted after any reboot.

    `mtime_ns` is when the data was last written, as its file says: another time means that somebody else has (0: not noted).
    """

    blob: str
    size: int
    sha256: str
    sources: tuple[str, ...] = ()
    boot: str = attrs.field(factory=boot_id)
    synced: bool = False
    mtime_ns: int = 0


def read_meta(path: str) -> Meta | None:
    """The meta at `path`; None where there is none, or a crash left nonsense. Raises OSError."""
    try:
        with open(path, "rb") as file:
            said = json.loads(file.read())
        return Meta(
            blob=str(said["blob"]),
            size=int(said["size"]),
            sha256=str(said["sha256"]),
            sources=tuple(map(str, said["sources"])),
            boot=str(said["boot"]),
            synced=said["synced"] is True,
            mtime_ns=int(said.get("mtime_ns", 0)),
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def write_meta(path: str, meta: Meta) -> None:
    """Put `meta` at `path` in one step, on the disk if it is `synced`. Raises OSError."""
    new = path + ".new"
    with open(new, "w", encoding="utf-8") as file:
        json.dump(attrs.asdict(meta), file)
        if meta.synced:
            file.flush()
            os.fsync(file.fileno())
    os.replace(new, path)
    if meta.synced:
        sync_path(os.path.dirname(path))


def sync_path(path: str) -> None:
    """Bring a file or directory to the disk. Raises OSError."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
