"""Outputs in the cache of a hub's own tools: content under its hash, a folder of links for the revision, refs last.

    <cache>/<repository>/.dfly/…                where what is not finished waits; the cache's readers do not look there
    <cache>/<repository>/blobs/<hash>           in place by one rename, as every output
    <cache>/<repository>/snapshots/<commit>/    appears in one rename, with all its links
    <cache>/<repository>/refs/main              names the commit once everything else is there

Where the revision's folder is there already, from a run that asked for less, each link appears by a rename of its own.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator

import attrs

from dfly.caches import CachedFile, CachePlan
from dfly.errors import OutputError, PluginError, UnsafePath
from dfly.output.place import clean, waiting_place
from dfly.output.receipt import HashFile, matches
from dfly.paths import problem, refuse_unsafe

_TAKEN = (errno.EEXIST, errno.ENOTEMPTY)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


@attrs.frozen
class LinkedCache:
    """`plan` in the cache `directory`. Methods raise OutputError."""

    directory: str
    plan: CachePlan

    def __attrs_post_init__(self) -> None:
        """Raises UnsafePath, and PluginError where the plan contradicts itself."""
        places = self.plan
        refuse_unsafe([kept.link for kept in places.files])
        names = {places.root, places.view, places.aside, *places.notes, *places.refs}
        names.update(name for kept in places.files for name in (kept.blob, kept.lock) if name)
        unsafe = tuple((name, why) for name in sorted(names) if (why := problem(name)))
        if unsafe:
            raise UnsafePath(unsafe)
        inside = [places.view, *(kept.blob for kept in places.files)]
        if not all(_is_below(name, places.root) for name in inside) or not all(
            _is_below(kept.link, places.view) for kept in places.files
        ):
            raise PluginError("a cache layout puts blobs outside its root, or links outside its view")

    @property
    def root(self) -> str:
        """The repository's folder."""
        return self.at(self.plan.root)

    @property
    def view(self) -> str:
        """The revision's folder."""
        return self.at(self.plan.view)

    def at(self, name: str) -> str:
        """Where something of the plan is on this machine."""
        return os.path.join(self.directory, name)

    def open(self) -> None:
        """Make the repository's folder; where it is new, in one step together with the folder for its revisions."""
        with _telling(self.root):
            if not os.path.lexists(self.root):
                staged = os.path.join(self.at(self.plan.aside), f"{os.path.basename(self.root)}.{_word()}")
                os.makedirs(os.path.join(staged, os.path.relpath(os.path.dirname(self.view), self.root)))
                os.makedirs(os.path.dirname(self.root), exist_ok=True)
                _move_folder(staged, self.root)
            os.makedirs(os.path.dirname(self.view), exist_ok=True)

    def stands(self, *, hash_file: HashFile) -> bool:
        """Whether all is visible already, as it should be: a cache that may only be read serves as well then."""
        places = self.plan
        return (
            all(os.path.lexists(self.at(name)) for name in places.notes)
            and os.path.isdir(self.view)
            and all(self._is_linked(kept, hash_file) for kept in places.files)
            and all(_text(self.at(name)) == text for name, text in places.refs.items())
        )

    def publish(self, *, hash_file: HashFile) -> None:
        """Make everything visible; the blobs are in place. One process at a time, for one root."""
        self.open()
        with _telling(self.root):
            for name, text in self.plan.notes.items():
                if not os.path.lexists(self.at(name)):
                    self._write(name, text)
            self._show(hash_file)
            for name, text in self.plan.refs.items():
                if _text(self.at(name)) != text:
                    self._write(name, text)
        clean(self.root)

    def _show(self, hash_file: HashFile) -> None:
        if not os.path.lexists(self.view):
            staged = os.path.join(waiting_place(self.root), "view")
            shutil.rmtree(staged, ignore_errors=True)  # of a run that was killed
            os.makedirs(staged)
            for kept in self.plan.files:
                inside = os.path.join(staged, os.path.relpath(kept.link, self.plan.view))
                os.makedirs(os.path.dirname(inside), exist_ok=True)
                _symlink(self._target(kept), inside)
            if _move_folder(staged, self.view):
                return
        for kept in self.plan.files:
            if not self._is_linked(kept, hash_file):
                self._link(kept)

    def _is_linked(self, kept: CachedFile, hash_file: HashFile) -> bool:
        link, blob = self.at(kept.link), self.at(kept.blob)
        if os.path.islink(link):
            return os.readlink(link) == self._target(kept) or os.path.realpath(link) == os.path.realpath(blob)
        # the hub's tools keep the file itself there where they may not link
        return matches(link, kept.entry, hash_file=hash_file)

    def _link(self, kept: CachedFile) -> None:
        link, target = self.at(kept.link), self._target(kept)
        if os.path.isdir(link) and not os.path.islink(link):
            raise OutputError(f"{link} is a folder, and a file is to go there", hint="remove it, or use another cache")
        folder = os.path.dirname(link)
        os.makedirs(folder, exist_ok=True)
        inside, real = os.path.realpath(self.root), os.path.realpath(folder)
        if os.path.commonpath([inside, real]) != inside:
            raise OutputError(f"{folder} leads out of the cache, to {real}", hint="remove it, or use another cache")
        hidden = self._hidden(kept.link)
        _symlink(target, hidden)
        os.replace(hidden, link)

    def _target(self, kept: CachedFile) -> str:
        return os.path.relpath(kept.blob, os.path.dirname(kept.link))

    def _write(self, name: str, text: str) -> None:
        path, hidden = self.at(name), self._hidden(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(hidden, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(hidden, path)

    def _hidden(self, name: str) -> str:
        """A free name on the file system of `name`, where no reader of the cache looks."""
        inside = _is_below(name, self.plan.root)
        folder = waiting_place(self.root) if inside else self.at(self.plan.aside)
        os.makedirs(folder, exist_ok=True)
        # within the root a killed run's is used up by the next; elsewhere others may write at the same moment
        hidden = os.path.join(folder, f"{_short(name)}.new" if inside else f"{_short(name)}.{_word()}.new")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(hidden)
        return hidden


def elsewhere(path: str, directory: str) -> str | None:
    """The file that the symbolic link `path` leads to, where it is one of the cache `directory`; None for all else.

    The hub's tools may keep one content for several repositories, and link to it from each.
    """
    if not os.path.islink(path):
        return None
    inside, real = os.path.realpath(directory), os.path.realpath(path)
    return real if os.path.commonpath([inside, real]) == inside and os.path.isfile(real) else None


def _move_folder(staged: str, final: str) -> bool:
    """False where another process has made `final` meanwhile; `staged` is gone either way. Raises OSError."""
    try:
        os.rename(staged, final)
    except OSError as error:
        shutil.rmtree(staged, ignore_errors=True)
        if error.errno not in _TAKEN:
            raise
        return False
    return True


def _symlink(target: str, path: str) -> None:
    try:
        os.symlink(target, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        raise OutputError(
            f"{os.path.dirname(path)} is on a file system without symbolic links, which the cache is made of",
            hint="put the cache on another file system, or fetch to a plain folder with -O",
        ) from error


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return None


def _is_below(name: str, folder: str) -> bool:
    return name.startswith(f"{folder}/")


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _word() -> str:
    return secrets.token_hex(4)


@contextlib.contextmanager
def _telling(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError.from_os(error, error.filename or path) from error
