"""dfly: P2P distribution of AI models. These are the public names; a hub plugin needs no others.

>>> import dfly
>>> report = dfly.fetch("https://host/model.gguf", "models/")  # doctest: +SKIP
"""

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
    "option",
    "quoted",
    "reaching",
    "read_capped",
]


def __getattr__(name: str) -> Any:
    # fetch brings httpx and threads along; a plugin's import must not pay for them
    if name in ("fetch", "Report"):
        from dfly.node import fetch as module

        return getattr(module, name)
    raise AttributeError(f"module 'dfly' has no attribute {name!r}")
