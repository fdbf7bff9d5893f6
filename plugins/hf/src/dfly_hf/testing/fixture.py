"""`FixtureHub`: a Hugging Face Hub, and the words a test says to it."""

from __future__ import annotations

from pathlib import Path

from dfly.testing.hub import LoopbackHub, Throttle
from dfly_hf.testing.content import Files
from dfly_hf.testing.hub import Hub
from dfly_hf.testing.repos import Repo
from dfly_hf.testing.site import HfSite
from dfly_hf.urls import KINDS


class FixtureHub(LoopbackHub[HfSite]):
    """A hub on loopback; a context manager that serves while it is open.

    `prefix` is a path below which the hub lives; `page_size` rows make a page of a listing; signed links live for
    `link_seconds`; `rate` limits all content together, in bytes/s; `short_hashes` lets the API expand them; `password`
    ("user:password") guards the hub as a proxy would; `next_link_base` is the endpoint that links to next pages name.
    """

    def __init__(
        self,
        *,
        prefix: str = "",
        page_size: int = 1000,
        link_seconds: int = 3600,
        rate: float | None = None,
        short_hashes: bool = False,
        password: str | None = None,
        next_link_base: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        site = HfSite(
            prefix=prefix.rstrip("/"),
            page_size=page_size,
            link_seconds=link_seconds,
            short_hashes=short_hashes,
            password=password,
            next_link_base=next_link_base,
            throttle=Throttle(rate),
        )
        super().__init__(site, api=Hub(site).answer, host=host, port=port)

    def repo(
        self,
        repo: str,
        files: Files | Path | None = None,
        *,
        kind: str = "models",
        private: bool = False,
        gated: bool = False,
        disabled: bool = False,
    ) -> Repo:
        """Create a repository, with a first commit on main if `files` are given; `datasets/owner/name` is a dataset."""
        first, _, rest = repo.partition("/")
        if first in KINDS and rest:
            kind, repo = first, rest
        made = Repo(kind, repo, private=private, gated=gated, disabled=disabled)
        if files is not None:
            made.commit(files)
        self.site.repos[kind, repo] = made
        return made

    def rename(self, old: str, new: str, *, kind: str = "models") -> None:
        """Answer for `old` with a redirect to `new`; a repository of the old name moves."""
        repo = self.site.repos.pop((kind, old), None)
        if repo is not None:
            repo.id = new
            self.site.repos[kind, new] = repo
        self.site.renames[kind, old] = new
