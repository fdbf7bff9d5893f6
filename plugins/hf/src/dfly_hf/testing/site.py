"""What can be set on this hub, besides what every hub has."""

from typing import ClassVar

import attrs

from dfly.testing.hub import Site
from dfly_hf.testing.repos import Repo


@attrs.define(kw_only=True)
class HfSite(Site[Repo]):
    """The state of a fixture hub."""

    #: Calls that count against the hub's API rate limit; "resolve" has a limit of its own, "cdn" has none.
    api_kinds: ClassVar[tuple[str, ...]] = (
        "revision",
        "tree",
        "paths-info",
        "refs",
        "commits",
        "whoami",
        "auth-check",
        "info",
    )
    #: The hub's own client numbers its requests and counts its downloads, at the content network too.
    tolerated: ClassVar[tuple[str, ...]] = ("x-amzn-trace-id", "x-hf-download-counter")
    key_name: ClassVar[str] = "Key-Pair-Id"

    page_size: int
    short_hashes: bool
    password: str | None
    next_link_base: str | None
    renames: dict[tuple[str, str], str] = attrs.field(factory=dict)
