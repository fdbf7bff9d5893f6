"""dfly: P2P distribution of AI models. These are the public names; a hub plugin needs no others.

>>> report = dfly.fetch("memory://tiny", "models/", recursive=True, plugins=plugins)
>>> (report.files, report.bytes)
(2, 26)
>>> with dfly.open("memory://tiny/config.json", plugins=plugins) as file:
...     file.read()
b'{}'

`fetch` brings files to a folder, `open` reads of one without fetching it, `snapshot` tells what there is. They may be called
from any thread, from several at once, and from asyncio through `asyncio.to_thread`; they install no signal handlers and change
no logging. What stops them is the `threading.Event` given as `cancel`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dfly.backend import Backend, NoOptions, Request, Secret, Tools, error_for_status, option
from dfly.caches import CachedFile, CacheLayout, CacheOrder, CachePlan
from dfly.endpoint import Endpoint
from dfly.errors import (
    AccessDenied,
    Cancelled,
    Changed,
    DflyError,
    Expired,
    IntegrityError,
    NotAFile,
    NotFound,
    OriginUnavailable,
    OutputError,
    PluginError,
    RangesUnsupported,
    RateLimited,
    SourceError,
    SwarmError,
    TimedOut,
    UnknownScheme,
    UnsafePath,
    Unsupported,
    Untrusted,
    UsageError,
)
from dfly.facade import Answer, Asked, Content, Facade, Opened, Reads
from dfly.hearing import quoted, reaching, read_capped
from dfly.plugins.hookspecs import hookimpl
from dfly.values import Digest, Entry, Snapshot, bare_url
from dfly.version import VERSION

if TYPE_CHECKING:
    from dfly.node.fetch import Report, fetch
    from dfly.node.opening import open, snapshot  # noqa: A004 - `dfly.open` is meant to be read with its module's name
    from dfly.node.streamed import RemoteFile

__version__ = VERSION

__all__ = [
    "AccessDenied",
    "Answer",
    "Asked",
    "Backend",
    "CacheLayout",
    "CacheOrder",
    "CachePlan",
    "CachedFile",
    "Cancelled",
    "Changed",
    "Content",
    "DflyError",
    "Digest",
    "Endpoint",
    "Entry",
    "Expired",
    "Facade",
    "IntegrityError",
    "NoOptions",
    "NotAFile",
    "NotFound",
    "Opened",
    "OriginUnavailable",
    "OutputError",
    "PluginError",
    "RangesUnsupported",
    "RateLimited",
    "Reads",
    "RemoteFile",
    "Report",
    "Request",
    "Secret",
    "Snapshot",
    "SourceError",
    "SwarmError",
    "TimedOut",
    "Tools",
    "UnknownScheme",
    "UnsafePath",
    "Unsupported",
    "Untrusted",
    "UsageError",
    "bare_url",
    "error_for_status",
    "fetch",
    "hookimpl",
    "open",
    "option",
    "quoted",
    "reaching",
    "read_capped",
    "snapshot",
]


_LATE = {
    "Report": "dfly.node.fetch",
    "RemoteFile": "dfly.node.streamed",
    "fetch": "dfly.node.fetch",
    "open": "dfly.node.opening",
    "snapshot": "dfly.node.opening",
}


def __getattr__(name: str) -> Any:
    # these bring httpx and threads along; a plugin's import must not pay for them
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module 'dfly' has no attribute {name!r}")
