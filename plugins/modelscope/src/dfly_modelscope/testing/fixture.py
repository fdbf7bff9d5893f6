"""`FixtureHub`: ModelScope on loopback, and the words a test says to it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from dfly.testing.hub import LoopbackHub, Throttle
from dfly_modelscope.testing.content import Files
from dfly_modelscope.testing.hub import Hub
from dfly_modelscope.testing.repos import Repo
from dfly_modelscope.testing.site import ModelScopeSite
from dfly_modelscope.urls import KINDS


class FixtureHub(LoopbackHub[ModelScopeSite]):
    """ModelScope on loopback; a context manager that serves while it is open.

    `prefix` is a path below which the hub lives; a model's listing is cut at `cap` rows; signed links live for
    `link_seconds`; `rate` limits all content together, in bytes/s; parts of files come under `part_status`;
    `tells_head` is how a listing names its commit; `bare_lists` leaves out the key around a dataset's rows. Links name
    the storage `cdn_name` (`host` unless given): to a cookie jar, two ports of one host are one place.
    """

    def __init__(
        self,
        *,
        prefix: str = "",
        cap: int = 3000,
        link_seconds: int = 3600,
        rate: float | None = None,
        part_status: int = 200,
        tells_head: Literal["short", "full", "no"] = "short",
        bare_lists: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        cdn_name: str | None = None,
    ) -> None:
        site = ModelScopeSite(
            prefix=prefix.rstrip("/"),
            cap=cap,
            link_seconds=link_seconds,
            part_status=part_status,
            tells_head=tells_head,
            bare_lists=bare_lists,
            throttle=Throttle(rate),
        )
        super().__init__(site, api=Hub(site).answer, host=host, port=port, cdn_name=cdn_name)

    def repo(self, repo: str, files: Files | Path | None = None, *, private: bool = False, gated: bool = False) -> Repo:
        """Create a repository, with a first commit on master if `files` are given; `datasets/owner/name` is a dataset."""
        first, _, rest = repo.partition("/")
        kind, repo = (first, rest) if first in KINDS and rest.count("/") == 1 else ("models", repo)
        made = Repo(kind, repo, private=private, gated=gated)
        if files is not None:
            made.commit(files)
        self.site.repos[kind, repo] = made
        return made
