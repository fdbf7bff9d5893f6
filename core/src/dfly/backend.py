"""The contract between the core and a hub: what a plugin author implements, and what the core promises.

A backend speaks to one kind of origin. Its methods block and are called from several worker threads at once; an instance
serves one (scheme, options) pair and MUST be thread-safe. The core retries, resumes, paces and verifies: a backend does
none of that, it raises the error that says what happened (`dfly.errors`, the SourceError branch) and the core acts on its type.

The text after `scheme://` is the backend's own; the core never parses it.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import attrs

from dfly.caches import CacheLayout
from dfly.errors import (
    AccessDenied,
    Changed,
    NotFound,
    OriginUnavailable,
    PluginError,
    RateLimited,
    SourceError,
    Unsupported,
)
from dfly.values import Entry, Snapshot, bare_url

if TYPE_CHECKING:
    import httpx

__all__ = [
    "Backend",
    "NoOptions",
    "OptionField",
    "RangeReader",
    "Request",
    "Secret",
    "Tools",
    "option",
    "option_fields",
]

T = TypeVar("T")


def _strip(text: str) -> str:
    return text.strip()


@attrs.frozen(repr=False)
class Secret:
    """A string that never shows itself: not in repr, str, format, logs or events."""

    _value: str = attrs.field(converter=_strip)

    def reveal(self) -> str:
        """The text itself, for the one header or signature that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


@attrs.frozen(kw_only=True)
class OptionField:
    """One option of a backend, as flags, environment, docs and the seed peer's schema see it."""

    field: str
    flag: str
    env: tuple[str, ...]
    help: str
    default: str | None
    secret: bool
    travels: bool
    repeated: bool
    flags: tuple[str, ...] = ()
    endpoint: bool = False

    @property
    def chooses(self) -> bool:
        """Whether its value may change what a URL means."""
        return not self.secret and not self.endpoint


def option(
    default: Any = None,
    *,
    help: str,  # noqa: A002 - the field's standard word
    env: tuple[str, ...] = (),
    secret: bool = False,
    travels: bool | None = None,
    repeated: bool = False,
    flags: tuple[str, ...] = (),
    fallback: Callable[[], str | None] | None = None,
    endpoint: bool = False,
) -> Any:
    """Declare a backend option. It becomes `--<prefix>-<field>` and the environment variable DFLY_<PREFIX>_<FIELD>.

    `env` names further variables, asked in order, before the DFLY_ one; an empty value counts as not given. `fallback` is
    asked last (a token file); its None means the default. `flags` are further names, of which core's own are left out. A
    `secret` arrives as `Secret`. `travels` says whether the value may be sent to a seed peer (as a header, over TLS or
    loopback): plain options do unless told otherwise, secrets only when told so. An `endpoint` says where requests go: if a
    node names one to a seed peer, the seed peer's own secrets stay at home.
    Credentials that belong to this machine rather than to the user (instance roles, client certificates) MUST NOT travel.
    """
    metadata = {
        "dfly": True,
        "help": help,
        "env": env,
        "secret": secret,
        "travels": (not secret) if travels is None else travels,
        "repeated": repeated,
        "flags": flags,
        "fallback": fallback,
        "endpoint": endpoint,
    }
    return attrs.field(default=() if repeated and default is None else default, metadata=metadata, kw_only=True)


@attrs.frozen
class NoOptions:
    """For a backend that has nothing to set."""


@attrs.frozen(kw_only=True)
class Request:
    """Where an entry's bytes are right now: one HTTP GET, to which the core adds `Range`.

    `headers` and `auth` go only to the origin (scheme, host, port) of `url`; a redirect to another origin loses them.
    `auth` signs each request after `Range` is set. `ranges` False means one stream only.
    `expires_at` is when the URL runs out, in Unix seconds, `math.inf` where nobody knows when: from then on, and when an
    answer after the first one is AccessDenied, `locate` is called again.
    `etag`, where given, is strong: the core sends it as If-Match and refuses a response that carries another.
    """

    url: str = attrs.field(repr=bare_url)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=lambda h: repr(sorted(h)))
    auth: httpx.Auth | None = attrs.field(default=None, repr=False)
    expires_at: float | None = None
    ranges: bool | None = None
    etag: str | None = None


class RangeReader(Protocol):
    """The core's range engine: one attempt at `[start, stop)` of an entry; `stop` None reads to the end."""

    def __call__(self, backend: Backend, entry: Entry, start: int, stop: int | None) -> Iterator[bytes]:
        """Yield the bytes in order; raise a SourceError where they stop short."""


@attrs.frozen
class Tools:
    """What the core lends a backend.

    `client` is for API calls: it verifies TLS with the user's CA, uses the proxies, follows redirects without carrying
    credentials to another origin, and retries what is worth retrying. `read` moves the bytes of `locate`-able entries.
    """

    client: httpx.Client
    read: RangeReader


class Backend(ABC):
    """Speaks to one kind of origin. Subclass, set `schemes` and `options`, implement `stat`, `list` and `locate` or `get`."""

    #: URL schemes served, the first is canonical.
    schemes: ClassVar[tuple[str, ...]]
    #: An attrs class whose fields are made with `option`.
    options: ClassVar[type] = NoOptions
    #: What flags begin with: `--<prefix>-<field>`; the first scheme where not set.
    prefix: ClassVar[str] = ""
    #: Command lines after `dfget` that its help shows, for example `"gopher://host/file -O file"`.
    examples: ClassVar[tuple[str, ...]] = ()
    #: The cache that the hub's own tools read, for `--<prefix>-cache`; None where they have none.
    cache_layout: ClassVar[CacheLayout | None] = None

    def __init__(self, settings: Any, tools: Tools) -> None:
        """`settings` is an instance of `options`; `tools` is lent until `close`."""
        self.settings = settings
        self.tools = tools

    @abstractmethod
    def stat(self, url: str) -> Entry:
        """Resolve a URL that names one file. Pins it: `Entry.url` means the same bytes tomorrow, or fails.

        Raises NotAFile for a repository, folder or prefix, NotFound, AccessDenied. `path` is the file's own name.
        """

    @abstractmethod
    def list(self, url: str) -> Snapshot:
        """Resolve everything below a URL. Paths are relative to what the URL names; a URL of one file lists that file.

        MUST be complete or raise: a listing cut short is never returned. An empty repository is an empty snapshot.
        """

    def locate(self, entry: Entry) -> Request:
        """Where the bytes of `entry` are, for HTTP-like origins. Called again when a link expires."""
        raise NotImplementedError(f"{type(self).__name__} has neither locate nor get")

    def get(self, entry: Entry, start: int, stop: int | None) -> Iterator[bytes]:
        """Yield bytes `[start, stop)`, in order, in chunks of any size; `stop` None means to the end.

        MUST yield exactly those bytes or raise; the core comes again with a later `start`.
        Raises RangesUnsupported where `start` is not 0 and the origin cannot do it.
        """
        return self.tools.read(self, entry, start, stop)

    def check(self, entry: Entry, response: httpx.Response) -> None:
        """Raise the error that a response from the located origin means; called for each, redirects included, before its body.

        The default maps status codes. A backend that knows its hub's error codes or pins a revision header overrides this
        and calls `super().check` last.
        """
        error = error_for_status(response, what=entry.path)
        if error is not None:
            raise error

    def exists(self, url: str) -> bool:
        """Whether a file is there and readable with these options."""
        try:
            self.stat(url)
        except NotFound:
            return False
        return True

    def put(self, path: os.PathLike[str], url: str) -> None:  # noqa: ARG002 - the contract's words
        """Upload one local file."""
        raise Unsupported(f"{self.schemes[0]}:// cannot be written to", hint="its plugin only reads", url=bare_url(url))

    def public(self, entry: Entry) -> bool:  # noqa: ARG002 - for those who know
        """Whether anybody may read `entry`, which `stat` has told: True only where that is known. Asks nobody."""
        return False

    def authorize(self, snapshot: Snapshot) -> bool:
        """Whether these options may read `snapshot`, asked before a cached copy is handed out. Never True from a cache."""
        if snapshot.public:
            return True
        try:
            for entry in snapshot.entries[:1]:
                self.stat(entry.url)
        except (AccessDenied, NotFound):
            return False
        return bool(snapshot.entries)

    def covers(
        self,
        url: str,
        snapshot: Snapshot,
        *,
        names: Collection[str] = (),
        revisions: Collection[str] = (),  # noqa: ARG002 - the contract's words
    ) -> Snapshot | None:
        """What `list(url)` would give, told from `snapshot` without asking anybody; None where that is another place.

        For a hub that is out of reach: `snapshot` is what `list` or `stat` gave once, maybe on another machine and from another
        endpoint. `names` are URLs that meant it, given without options, `revisions` what its revision was called ("main").
        MUST make no request. MUST be None where `snapshot` may lack files of `url`. Raises NotFound where it shows that there is
        no such file, UsageError as `list`. The default knows `names` and the pinned source, each as a whole.
        """
        known = {snapshot.source.rstrip("/")}
        if all(
            getattr(self.settings, f.field) == _default(f, type(self)) for f in option_fields(type(self)) if f.chooses
        ):
            known |= {name.rstrip("/") for name in names}
        return snapshot if url.rstrip("/") in known else None

    @classmethod
    def at_strange_endpoint(cls, settings: Any) -> Any:
        """`settings` for an `endpoint` that a seed peer's caller chose, and for other users of a daemon than its own.

        Options that are secrets are the caller's already. A backend that finds credentials elsewhere (key files, instance roles)
        MUST override this and switch that off.
        """
        return settings

    def close(self) -> None:  # noqa: B027 - most backends hold nothing
        """Release what the backend holds. Called once, after the last method returned."""


def error_for_status(response: httpx.Response, *, what: str) -> SourceError | None:
    """The error a plain HTTP status means, or None for success and redirects. 416 is left to the range engine."""
    status = response.status_code
    if status < 400 or status == 416:
        return None
    url = bare_url(str(response.request.url))
    # x-request-id, or the same with a vendor's name in it
    request_id = next((value for name, value in response.headers.items() if name.endswith("request-id")), "")
    said = (
        (f"{what}: " if what else "") + f"{url} answered {status}" + (f" (request {request_id})" if request_id else "")
    )
    if status in (401, 403, 407):
        return AccessDenied(said, hint="check the credentials given for this source", url=url)
    if status in (404, 410):
        return NotFound(said, url=url)
    if status == 412:
        return Changed(said, hint="the file changed while it was being fetched; run the command again", url=url)
    if status == 429:
        return RateLimited(said, url=url)
    if status >= 500 or status in (408, 425):
        return OriginUnavailable(said, url=url)
    return Unsupported(said, url=url)


def option_fields(backend: type[Backend]) -> tuple[OptionField, ...]:
    """The declared options of a backend class, in order."""
    prefix = backend.prefix or backend.schemes[0]
    found = []
    for field in attrs.fields(backend.options):
        meta = field.metadata
        if not meta.get("dfly"):
            continue
        default = field.default
        found.append(
            OptionField(
                field=field.name,
                flag=f"--{prefix}-{field.name.replace('_', '-')}",
                env=(*meta["env"], *(() if meta.get("unnamed") else (_own_variable(prefix, field.name),))),
                help=meta["help"],
                default=default if isinstance(default, str) else None,
                secret=meta["secret"],
                travels=meta["travels"],
                repeated=meta["repeated"],
                flags=meta["flags"],
                endpoint=meta["endpoint"],
            )
        )
    return tuple(found)


def _default(spec: OptionField, backend: type[Backend]) -> Any:
    return attrs.fields_dict(backend.options)[spec.field].default


def _own_variable(prefix: str, field: str) -> str:
    return f"DFLY_{prefix}_{field}".upper().replace("-", "_")


def build_options(
    backend: type[Backend], given: Mapping[str, str | tuple[str, ...]], env: Mapping[str, str] = os.environ
) -> Any:
    """An instance of `backend.options`: `given` (by field name) before the environment, before fallbacks, before defaults.

    Raises PluginError where an option has no default.
    """
    values: dict[str, Any] = {}
    by_name = attrs.fields_dict(backend.options)
    for spec in option_fields(backend):
        fallback = by_name[spec.field].metadata["fallback"]
        value: Any = given.get(spec.field) or next((env[name] for name in spec.env if env.get(name)), None)
        if not value and fallback is not None:
            value = fallback()
        if not value:
            continue
        if spec.repeated:
            value = (value,) if isinstance(value, str) else tuple(value)
            values[spec.field] = tuple(Secret(v) for v in value) if spec.secret else value
        else:
            values[spec.field] = Secret(value) if spec.secret else value
    unset = [name for name, field in by_name.items() if field.default is attrs.NOTHING and name not in values]
    if unset:
        raise PluginError(
            f"{backend.schemes[0]}:// has no default for {', '.join(unset)}",
            hint="its author must give each option(...) a default; None will do",
        )
    return backend.options(**values)
