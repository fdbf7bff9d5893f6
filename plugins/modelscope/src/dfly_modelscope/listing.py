"""Whole trees, past the hub's limits, and single rows.

The hub cuts a model's listing at 3,000 rows, under status 200 and without a word. A listing of that length is therefore
read again folder by folder, and a folder that holds 3,000 rows itself cannot be listed at all: that is an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import attrs

from dfly import Changed, NotFound, Unsupported
from dfly_modelscope.api import MODEL_CAP, HubApi
from dfly_modelscope.envelope import no_file
from dfly_modelscope.rows import Page, Row, same_tip
from dfly_modelscope.urls import RepoUrl

#: Listings that one tree may cost; a real tree of this many crowded folders has millions of files.
MOST_LISTINGS = 10_000


def top(api: HubApi, at: RepoUrl, *, recursive: bool) -> Page:
    """The repository's own level.

    The hub answers for a revision that does not exist as for a repository without files, so an empty level is looked
    into. Raises NotFound for a missing revision, Changed where a branch has the name of another commit.
    """
    page = api.level(at, "", recursive=recursive)
    suspect = at.pinned and page.tip != "" and not same_tip(page.tip, str(at.revision))
    if page.rows and not suspect:
        return page
    names = api.names(at)
    if suspect and at.revision in names:
        raise Changed(
            f"{at}: the hub has a branch or tag of this name, at commit {page.tip}",
            hint="give another revision",
            url=str(at),
        )
    if not page.rows and at.revision not in names:
        raise NotFound(
            f"{at.repository} has no revision {at.revision!r}", kind="revision", hint=_names(at, names), url=str(at)
        )
    return page


def everything(api: HubApi, at: RepoUrl, page: Page) -> list[Row]:
    """All files below `at.path`, of which `page` is the recursive listing."""
    if page.complete:
        return [row for row in page.rows if row.is_file]
    found: list[Row] = []
    pending = [at.path]
    listings = 0
    while pending:
        folder = pending.pop()
        listings += 2
        if listings > MOST_LISTINGS:
            raise Unsupported(f"{at}: the hub would need more than {MOST_LISTINGS} listings for it", url=str(at))
        # the first one is known to be cut
        whole = api.level(at, folder, recursive=True) if folder != at.path else page
        level = whole if whole.complete else api.level(at, folder, recursive=False)
        if not level.complete:
            raise _crowded(at, folder)
        found += [row for row in level.rows if row.is_file]
        if level is not whole:
            pending += [row.path for row in level.rows if not row.is_file]
    return found


def row(api: HubApi, at: RepoUrl, *, root: Page | None = None) -> Row:
    """The file or folder at `at.path`; `root` is the repository's own level where it is known.

    Raises NotFound with near matches.
    """
    folder = at.path.rpartition("/")[0]
    page = _level(api, at, folder) if folder else root or top(api, at, recursive=False)
    for found in page.rows:
        if found.path == at.path:
            return found
    if not page.complete:
        raise _crowded(at, folder)
    names = [found.path for found in page.rows]
    # raises where it is the revision that is missing
    names += [found.path for found in top(api, at, recursive=True).rows]
    raise no_file(at, hint=near(at.path, names))


def _level(api: HubApi, at: RepoUrl, folder: str) -> Page:
    try:
        return api.level(at, folder, recursive=False)
    except NotFound as error:
        if error.kind == "repository":
            raise
        return Page(())


def _crowded(at: RepoUrl, folder: str) -> Unsupported:
    return Unsupported(
        f"{at}: the folder {folder or '/'} holds {MODEL_CAP} entries or more, and the hub lists no more of it",
        hint="fetch other folders of it with -r",
        url=str(at),
    )


def near(name: str, names: Iterable[str]) -> str:
    """A hint that lists what `name` may have meant; "" where nothing comes close."""
    known = list(dict.fromkeys(names))
    last = name.rpartition("/")[2].lower()
    alike = [other for other in known if other.rpartition("/")[2].lower() == last]
    alike += [other for other in difflib.get_close_matches(name, known, n=3) if other not in alike]
    return f"did you mean {' or '.join(repr(other) for other in alike[:3])}?" if alike else ""


def pinned(at: RepoUrl, page: Page) -> RepoUrl:
    """`at` with the commit that `page`, the repository's own level, shows; unchanged where the hub does not tell."""
    return at if at.pinned else attrs.evolve(at, revision=page.commit or at.revision)


def _names(at: RepoUrl, names: list[str]) -> str:
    if at.pinned:
        return "branches and tags: " + ", ".join(names[:10])
    return near(str(at.revision), names) or "branches and tags: " + ", ".join(names[:10])
