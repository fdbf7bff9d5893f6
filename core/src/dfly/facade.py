"""The contract between a node daemon and a hub's facade: the hub's own API, answered on this machine from cache and swarm.

With a facade a hub's own client works unchanged, and takes its bytes from the swarm: its endpoint is set to
`http://127.0.0.1:PORT/<prefix>`, where `dfdaemon --listen` listens. A plugin returns its facades from the hook
`dfly_endpoints`; core knows no hub and the plugin no web server. A request comes as `Asked`, the plugin answers it with an
`Answer`, whose body is either at hand or the `Content` of a file, which core sends at the client's pace.

    @dfly.hookimpl
    def dfly_endpoints():
        from dfly_gopher.facade import GopherFacade
        return [GopherFacade]

What a facade cannot answer it passes on to the hub (`Reads.passed_on`), refusals included: nobody words them as the hub does.
A caller's token is one of the options that `Reads.resolve` takes, so that everybody gets what the hub itself lets them have.
It MUST NOT be kept, logged or put into an answer.

Every answer carries `X-Dfly-Endpoint`. A dfget or dfdaemon whose own endpoint option names a facade sees that and goes to
the hub behind it (`dfly.origin.upstream`), instead of asking the daemon in a circle.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar, Protocol

import attrs

from dfly.values import Entry, Snapshot, bare_url

__all__ = ["IDENTITY", "WHO", "Answer", "Asked", "Content", "Facade", "Opened", "Options", "Reads"]

#: The header that every answer of a facade carries: the id of the daemon, anew with each start.
IDENTITY = "X-Dfly-Endpoint"
#: Below the prefix: `{"endpoint": id, "upstream": the hub's URL as this daemon's environment has it, or null}`.
WHO = "/_dfly"

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

#: Option values of a backend by field, as a user would give them; secrets in the clear, for one call.
Options = Mapping[str, str]


@attrs.frozen(kw_only=True)
class Asked:
    """One request. `path` is what follows the facade's prefix, as it was sent: percent-encoded, with a leading slash.

    `query` is what follows the question mark; `base` is this facade's URL as the client knows it, without a final slash.
    `headers` have lower-case names.
    """

    method: str
    path: str
    query: str = attrs.field(default="", repr=False)
    base: str = ""
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=lambda h: repr(sorted(h)))
    body: bytes = attrs.field(default=b"", repr=lambda body: f"{len(body)} bytes")

    @property
    def bearer(self) -> str:
        """The token of `Authorization: Bearer …`; "" without one."""
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if kind.lower() == "bearer" else ""

    def part(self, size: int, tag: str) -> tuple[int, int] | None:
        """The half-open range of a file of `size` bytes that is asked for: empty where the file has none of it.

        None for everything: no range, several, one that ends before it begins, or one of other content (If-Range) than `tag`.
        """
        found = _RANGE.fullmatch(self.headers.get("range", "").strip())
        if found is None or found[1] == found[2] == "" or self.headers.get("if-range", tag) != tag:
            return None
        if not found[1]:
            return max(size - int(found[2]), 0), size
        start, stop = int(found[1]), int(found[2]) + 1 if found[2] else size
        return None if found[2] and stop <= start else (start, min(stop, size))


class Opened(Protocol):
    """A source as it is open to one caller."""

    @property
    def snapshot(self) -> Snapshot:
        """What the caller may have."""


@attrs.frozen(kw_only=True)
class Content:
    """Bytes `[start, stop)` of an entry of what was opened. Core sends them as they become verified.

    `proven`: the last of them is held back until the whole file has its digest, and where it is wrong the connection ends in
    the middle. For who downloads a file; who reads in the middle of one does not wait for the rest.
    """

    opened: Opened
    entry: Entry
    start: int
    stop: int
    proven: bool = False


@attrs.frozen(kw_only=True)
class Answer:
    """One response. Core adds what a connection needs: lengths, dates, and for HEAD it leaves out the body.

    A Content-Length among the `headers` is what a HEAD is answered with where there is no body to measure.
    """

    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes | Content = b""


class Reads(Protocol):
    """What core offers a facade for one request."""

    async def resolve(self, url: str, options: Options, *, vouched: bool = False) -> Opened:
        """Everything below a source URL, as the source lists it to a caller with these options; see `Backend.list`.

        A branch is what it was a few seconds ago, and while the hub is away what it was last. Raises a DflyError: AccessDenied
        for a caller without a secret, where the snapshot is not known to be public and the facade has not `vouched` for it: that
        its backend shows the hub nothing but `options`, no key file and no role of the machine.
        """

    async def passed_on(self, asked: Asked, upstream: str) -> Answer:
        """What the hub at `upstream` answers to `asked`, redirects not followed.

        Where `Location` and `Link` name the hub, they name the facade instead. A password in `upstream` goes along as a header,
        in place of the caller's own Authorization. Raises OriginUnavailable where there is no answer.
        """


class Facade(ABC):
    """One hub's API. Made once for each daemon that is asked; `answer` is called for many requests at once."""

    #: Where it is mounted, `/<prefix>/…`: the prefix of its backend's flags.
    prefix: ClassVar[str]

    def __init__(self, usual: Options) -> None:
        """`usual` are the plain options of its backend as this daemon's environment has them; no secrets are among them."""
        self.usual = usual

    @abstractmethod
    async def answer(self, asked: Asked, reads: Reads) -> Answer:
        """Answer one request. Must not block. A DflyError that it raises becomes a plain 4xx or 5xx."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} { ({name: bare_url(value) for name, value in self.usual.items()}) }>"
