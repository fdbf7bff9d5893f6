"""An fsspec filesystem over sources: `dfly://<scheme>/<rest>` is what dfget calls `<scheme>://<rest>`. Needs the extra `fsspec`.

>>> import fsspec
>>> with fsspec.open("dfly://memory/tiny/config.json", plugins=plugins) as file:
...     file.read()
b'{}'

fsspec finds it by its entry point, so whatever opens files with fsspec (pandas, pyarrow, datasets) reads through the node daemon
or the swarm as `dfly.open` does. What was listed is remembered for a minute with the revision it was pinned to, so that files
listed together are read of one revision. Nothing can be written.
"""

import errno
import hashlib
import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn

import attrs
from fsspec.spec import AbstractFileSystem

from dfly.config import Joining, Network, Patience
from dfly.errors import AccessDenied, NotAFile, NotFound, UnknownScheme, UsageError
from dfly.node.opening import open as open_remote
from dfly.node.opening import snapshot
from dfly.node.sources import Options
from dfly.node.streamed import RemoteFile
from dfly.plugins import Plugins
from dfly.values import Entry, Snapshot

#: Seconds for which a listing is good.
TTL = 60.0

Info = dict[str, Any]


class DflyFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Read-only. `options`, `seed_peers`, `joining`, `network`, `patience` and `plugins` are those of `dfly.open`.

    >>> files = DflyFileSystem(plugins=plugins)
    >>> files.ls("dfly://memory/tiny", detail=False)
    ['memory/tiny/config.json', 'memory/tiny/model.bin']
    >>> files.cat_file("dfly://memory/tiny/model.bin", start=-8)
    b'the end.'

    `ttl` is for how many seconds a listing is good; 0: each is asked for anew. An `info` has `name`, `size` in bytes (None where
    the source does not tell), `type`, and of a file `url`, its pinned source URL, `digests` (algorithm → hex) and `blob`, its
    content's id or None.

    Raises FileNotFoundError, PermissionError, IsADirectoryError and io.UnsupportedOperation as Python's own files do, each caused
    by the DflyError that says more; every other DflyError as it is.
    """

    protocol: ClassVar[str] = "dfly"
    root_marker = ""

    def __init__(
        self,
        *args: Any,
        options: Options | None = None,
        seed_peers: Sequence[str] | None = None,
        joining: Joining | None = None,
        network: Network | None = None,
        patience: Patience | None = None,
        plugins: Plugins | None = None,
        ttl: float = TTL,
        **more: Any,
    ) -> None:
        super().__init__(*args, **more)
        self._asking: dict[str, Any] = {
            "options": options,
            "seed_peers": seed_peers,
            "joining": joining,
            "network": network,
            "patience": patience,
            "plugins": plugins,
        }
        self._listings = _Listings(ttl=ttl)

    @classmethod
    def source_url(cls, path: str) -> str:
        """What dfget would be given for `path`.

        >>> DflyFileSystem.source_url("dfly://gopher/hole@main/a.txt")
        'gopher://hole@main/a.txt'
        """
        scheme, _, rest = cls._strip_protocol(path).partition("/")
        return f"{scheme}://{rest}"

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: FBT001, FBT002 - fsspec's signature
        """What is in a folder, or the one file at `path`: infos, or their names where not `detail`."""
        path = self._strip_protocol(path)
        found = self._listed(path)
        infos = [found[name] for name in sorted(found)]
        return infos if detail else [info["name"] for info in infos]

    def info(self, path: str, **_: Any) -> Info:
        """One file or folder."""
        path = self._strip_protocol(path)
        known = self._listings.info(path)
        if known is not None:
            return known
        with _as_os_errors(path):
            try:
                (entry,) = self._snapshot(path, recursive=False).entries
            except NotAFile:
                return _folder(path)
        return _file(path, entry)

    def isdir(self, path: str) -> bool:
        """Whether there is a folder. What cannot be one, a scheme alone for example, is none."""
        try:
            return bool(self.info(path)["type"] == "directory")
        except UnknownScheme:
            raise
        except (OSError, UsageError):
            return False

    def ukey(self, path: str) -> str:
        """What changes exactly if the content does: 64 hex digits."""
        info = self.info(path)
        known = info.get("blob") or f"{info.get('url')}\0{info['size']}"
        return hashlib.sha256(known.encode()).hexdigest()

    def invalidate_cache(self, path: str | None = None) -> None:  # noqa: ARG002 - a listing may be part of another
        """Ask anew."""
        self._listings.forget()
        super().invalidate_cache()

    def _open(self, path: str, mode: str = "rb", *_: Any, **__: Any) -> RemoteFile:
        if mode != "rb":
            self._refuse(path, f"open with mode {mode!r}")
        path = self._strip_protocol(path)
        known = self._listings.info(path)
        with _as_os_errors(path):
            if known is not None and known["type"] == "directory":
                raise NotAFile(self.source_url(path), hint="open one of the files below it")
            return open_remote(known["url"] if known else self.source_url(path), **self._asking)

    def _listed(self, path: str) -> Mapping[str, Info]:
        """The infos of a folder by name; of a file, itself."""
        found = self._listings.folder(path)
        if found is None:
            info = self._listings.info(path)
            if info is None:
                with _as_os_errors(path):
                    taken = self._snapshot(path)
                found = self._listings.remember(path, taken)
            if found is None:
                return {path: self.info(path)}
        return found

    def _snapshot(self, path: str, *, recursive: bool = True) -> Snapshot:
        return snapshot(self.source_url(path), recursive=recursive, **self._asking)

    # fsspec's own do nothing, or fail without a word

    def _refuse(self, path: object, what: str) -> NoReturn:
        raise io.UnsupportedOperation(
            errno.EROFS, f"{path}: cannot {what}, because dfly:// is only read; dfctl put publishes files", str(path)
        )

    def mkdir(self, path: str, *_: Any, **__: Any) -> NoReturn:
        """Raises io.UnsupportedOperation, as everything does that would change something."""
        self._refuse(path, "make a folder")

    makedirs = mkdir

    def rm_file(self, path: str) -> NoReturn:
        """Raises io.UnsupportedOperation."""
        self._refuse(path, "remove")

    def rm(self, path: Any, *_: Any, **__: Any) -> NoReturn:
        """Raises io.UnsupportedOperation."""
        self._refuse(path, "remove")

    rmdir = _rm = rm

    def cp_file(self, path1: str, path2: str, **_: Any) -> NoReturn:  # noqa: ARG002 - fsspec's signature
        """Raises io.UnsupportedOperation."""
        self._refuse(path2, "write")

    mv = cp_file

    def touch(self, path: str, *_: Any, **__: Any) -> NoReturn:
        """Raises io.UnsupportedOperation."""
        self._refuse(path, "write")


class _Listings:
    """The snapshots that were listed, as folders. Thread-safe; good for `ttl` seconds by `clock`."""

    def __init__(self, *, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl, self._clock = ttl, clock
        self._lock = threading.Lock()
        self._trees: dict[str, tuple[float, _Tree]] = {}

    def folder(self, path: str) -> Mapping[str, Info] | None:
        """What is in it; None where it is not known, or no folder."""
        tree = self._tree(path)
        return tree.folders.get(path) if tree else None

    def info(self, path: str) -> Info | None:
        """The file or folder; None where it is not known."""
        tree = self._tree(path)
        if tree is None:
            return None
        return _folder(path) if path in tree.folders else tree.files.get(path)

    def remember(self, path: str, taken: Snapshot) -> Mapping[str, Info] | None:
        """Keep what is below `path`. Returns what is in it, however soon that is forgotten; None where it is no folder."""
        tree = _Tree.of(path, taken)
        with self._lock:
            self._trees[path] = self._clock() + self._ttl, tree
        return tree.folders.get(path)

    def forget(self) -> None:
        """All."""
        with self._lock:
            self._trees.clear()

    def _tree(self, path: str) -> "_Tree | None":
        now = self._clock()
        with self._lock:
            for root, (until, _) in tuple(self._trees.items()):
                if until <= now:
                    del self._trees[root]
            for root, (_, tree) in self._trees.items():
                if path == root or path.startswith(f"{root}/"):
                    return tree
        return None


@attrs.frozen
class _Tree:
    """Everything below a path: files by path, folders with what is in them."""

    files: Mapping[str, Info]
    folders: Mapping[str, Mapping[str, Info]]

    @classmethod
    def of(cls, root: str, taken: Snapshot) -> "_Tree":
        files: dict[str, Info] = {}
        folders: dict[str, dict[str, Info]] = {root: {}}
        if len(taken.entries) == 1 and taken.entries[0].url == taken.source:
            return cls({root: _file(root, taken.entries[0])}, {})
        for entry in taken.entries:
            path = f"{root}/{entry.path}"
            files[path] = info = _file(path, entry)
            while True:
                folder = path.rpartition("/")[0]
                known = folder in folders
                folders.setdefault(folder, {})[path] = info
                if known or len(folder) <= len(root):
                    break
                path, info = folder, _folder(folder)
        return cls(files, folders)


def _file(path: str, entry: Entry) -> Info:
    digests = {digest.algorithm: digest.value for digest in entry.digests}
    return {
        "name": path,
        "size": entry.size,
        "type": "file",
        "url": entry.url,
        "digests": digests,
        "blob": entry.blob,
    }


def _folder(path: str) -> Info:
    return {"name": path, "size": 0, "type": "directory"}


@contextmanager
def _as_os_errors(path: str) -> Iterator[None]:
    """Raise what Python's own files raise."""
    try:
        yield
    except NotFound as error:
        raise FileNotFoundError(errno.ENOENT, error.message, path) from error
    except AccessDenied as error:
        raise PermissionError(errno.EACCES, str(error), path) from error
    except NotAFile as error:
        raise IsADirectoryError(errno.EISDIR, error.message, path) from error
