"""What a source URL resolves to: digests, entries, snapshots. Values only: frozen, comparable, no I/O.

The same snapshot has the same id on every machine, so everything that two machines must agree on is derived from here.
"""

import hashlib
import json
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Self
from urllib.parse import urlsplit

import attrs

#: The version of the rule that cuts a blob into pieces and segments (`dfly.layout`); part of every snapshot.
LAYOUT_VERSION = 2

#: Algorithms whose value identifies content whoever says it. Others verify bytes but never name them.
STRONG_ALGORITHMS = ("sha256", "sha512")
_NAMED_BY_CONTENT = tuple(f"{algorithm}-" for algorithm in STRONG_ALGORITHMS)


def _lower(text: str) -> str:
    return text.lower()


@attrs.frozen(order=True)
class Digest:
    r"""One content digest: `algorithm` ("sha256", "git-sha1", "md5", "crc64nvme", …) and lower-case hex `value`.

    `git-sha1` is the SHA-1 of `blob <size>\0` and the content, as git names files.
    """

    algorithm: str
    value: str = attrs.field(converter=_lower)

    @property
    def strong(self) -> bool:
        """Whether two files with this digest are the same file, whatever their origin."""
        return self.algorithm in STRONG_ALGORITHMS

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `algorithm:hex`, or bare hex of 64 digits as SHA-256.

        >>> Digest.parse("sha256:" + "0" * 64).strong
        True
        """
        algorithm, colon, value = text.partition(":")
        if not colon:
            algorithm, value = "sha256", text
        lengths = {"sha256": 64, "sha512": 128, "sha1": 40, "git-sha1": 40, "md5": 32}
        if lengths.get(algorithm, len(value)) != len(value) or not _is_hex(value):
            raise ValueError(f"{text!r} is not a digest; write sha256:<64 hex digits>")
        return cls(algorithm, value)


@attrs.frozen(order=True)
class Entry:
    """One file of a snapshot.

    `path` is relative to the snapshot, with `/`; `size` in bytes, None where the origin does not tell it.
    `url` is the file's own pinned, scheme-native URL (`gopher://hole@<revision>/path`): no secrets, no raw https link.
    `identity` names the place the content comes from, endpoint included, without revision, secrets or signatures:
    two callers' signed links to one file have one identity.
    `validator` pins the content there: a commit, version id, content hash or strong ETag; None where nothing does.
    """

    path: str
    size: int | None
    url: str
    identity: str
    digests: tuple[Digest, ...] = ()
    validator: str | None = None

    @property
    def blob(self) -> str | None:
        """The id of this content, the unit of dedup; None where it must not be shared between tasks.

        It says what the content is, not who may have it: it is kept as `Snapshot.blob_of` says.
        """
        for digest in sorted(self.digests):
            if digest.strong:
                return f"{digest.algorithm}-{digest.value}"
        if self.validator is None or self.size is None:
            return None
        return "pinned-" + _sha256([self.identity, self.validator, self.size])

    def digest(self, algorithm: str) -> str | None:
        """The hex value for one algorithm, or None."""
        return next((d.value for d in self.digests if d.algorithm == algorithm), None)


def _by_path(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.path.encode("utf-8", "surrogatepass")))


@attrs.frozen
class Snapshot:
    """What a source URL resolves to at one moment: a pinned revision and its entries, sorted by path.

    `source` is the pinned source URL as a user would type it; `name` is what to call the output where none is given.
    `revision` is the commit or version, None where the origin has no such thing (each entry has its own validator).
    `public` is True only where the backend knows that anybody may read it.
    """

    source: str
    name: str
    entries: tuple[Entry, ...] = attrs.field(converter=_by_path)
    revision: str | None = None
    public: bool = False
    layout: int = LAYOUT_VERSION

    @property
    def id(self) -> str:
        """32 hex digits over everything that nodes must agree on."""
        return _sha256([self.layout, self.source, self.revision, [attrs.astuple(e) for e in self.entries]])[:32]

    @property
    def size(self) -> int:
        """Bytes of all entries whose size is known."""
        return sum(entry.size or 0 for entry in self.entries)

    def blob_of(self, entry: Entry) -> str | None:
        """What the content of one of these entries is kept as; None where it must not be shared between tasks.

        A digest names content whoever says it, and whoever says it shall not be given what somebody else's token opened. So
        content that is not known to be public is kept for the place that it comes from: another place has to deliver it.
        """
        blob = entry.blob
        if blob is None or self.public or not blob.startswith(_NAMED_BY_CONTENT):
            return blob
        return "private-" + _sha256([self._first_places.get(blob, entry.identity), blob])

    @cached_property
    def _first_places(self) -> dict[str, str]:
        """Where the first file of each content is that several files of this snapshot have."""
        seen: dict[str, str] = {}
        several: set[str] = set()
        for entry in self.entries:
            blob = entry.blob
            if blob is not None and seen.setdefault(blob, entry.identity) != entry.identity:
                several.add(blob)
        return {blob: seen[blob] for blob in several}

    def only(self, entries: Iterable[Entry]) -> "Snapshot":
        """The same snapshot with fewer entries (after include and exclude globs)."""
        return attrs.evolve(self, entries=tuple(entries))

    def below(self, path: str) -> tuple[Entry, ...]:
        """The files below a folder of this snapshot, with paths relative to it, or the one file at `path`, by its own name.

        >>> files = [Entry(path, 1, "", "") for path in ("a/b.bin", "a/c/d.bin", "ab.bin")]
        >>> [entry.path for entry in Snapshot("", "", files).below("a")]
        ['b.bin', 'c/d.bin']
        """
        folder = f"{path}/" if path else ""
        return tuple(
            attrs.evolve(entry, path=entry.path.rpartition("/")[2] if entry.path == path else entry.path[len(folder) :])
            for entry in self.entries
            if entry.path == path or entry.path.startswith(folder)
        )


def bare_url(url: str) -> str:
    """`url` without user-info, query and fragment: what may be logged and shown.

    >>> bare_url("https://me:secret@host/a/b?signature=1")
    'https://host/a/b'
    """
    scheme, sep, rest = url.partition("://")
    if not sep:
        return url.partition("?")[0]
    rest = rest.partition("?")[0].partition("#")[0]
    authority, slash, path = rest.partition("/")
    if scheme.strip().lower() in ("http", "https"):
        authority = authority.rpartition("@")[2]
    return f"{scheme}://{authority}{slash}{path}"


def bare_task(task: str) -> str:
    """A task's id without its seal, which opens the event stream of a private source: what may be logged and shown.

    >>> bare_task("0f3a-secret")
    '0f3a'
    """
    return task.partition("-")[0]


def seed_peer_url(text: str) -> str:
    """`text`, if a seed peer can be there, without a trailing slash. Raises ValueError with what to write instead.

    >>> seed_peer_url("https://seed-1:65001/")
    'https://seed-1:65001'
    """
    try:
        parts = urlsplit(text)
        possible = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        possible = False
    if not possible or parts.query or parts.fragment or not text.isprintable() or " " in text:
        raise ValueError(f"{bare_url(text)!r} is not a seed peer; write http://HOST:PORT or https://HOST:PORT")
    return text.rstrip("/")


def _sha256(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), default=list)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_hex(value: str) -> bool:
    return bool(value) and all(c in "0123456789abcdefABCDEF" for c in value)
