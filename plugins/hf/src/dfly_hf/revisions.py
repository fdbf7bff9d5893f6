"""From a revision's name to its commit, once, before anything else: all that is listed and fetched names the commit.

The hub knows branches, tags, refs and full hashes. A short hash is looked up among the refs and the history of `main`;
a name that is not there is answered with its near matches, because most of them are typing errors.
"""

import difflib
import re
from collections.abc import Iterable

import attrs

from dfly import Changed, NotFound, SourceError, UsageError
from dfly_hf.api import HubApi, Revision
from dfly_hf.urls import DEFAULT_REVISION, RepoUrl, valid_repo_id

_SHORT_HASH = re.compile(r"[0-9a-fA-F]{7,39}")
_PAGES_OF_HISTORY = 10


@attrs.frozen
class Pinned:
    """A URL that names a commit and the repository as it is called now; `public` as in `Snapshot`."""

    url: RepoUrl
    public: bool


def pin(api: HubApi, url: RepoUrl) -> Pinned:
    """Ask the hub what `url.revision` (default main) is now.

    Raises NotFound with near matches, UsageError where a short hash is ambiguous.
    """
    asked = url if url.revision is not None else attrs.evolve(url, revision=DEFAULT_REVISION)
    assert asked.revision is not None
    try:
        found = api.revision(asked)
    except NotFound as error:
        if error.kind != "revision":
            raise
        found = _from_short_hash(api, asked, error)
    if asked.pinned and found.commit != asked.revision.lower():
        # a branch may be named like a hash; whoever writes a whole hash means the commit
        raise Changed(
            f"{asked}: the hub has a branch or tag of this name, at another commit",
            hint=f"give the commit: {found.commit}",
            url=str(asked),
        )
    repo = found.repo if valid_repo_id(found.repo) else url.repo
    return Pinned(attrs.evolve(url, repo=repo, revision=found.commit), public=found.open)


def near(name: str, names: Iterable[str]) -> str:
    """A hint that lists what `name` may have meant; "" where nothing comes close."""
    known = list(names)
    last = name.rpartition("/")[2].lower()
    alike = [other for other in known if other.rpartition("/")[2].lower() == last]
    alike += [other for other in difflib.get_close_matches(name, known, n=3) if other not in alike]
    return f"did you mean {' or '.join(repr(other) for other in alike[:3])}?" if alike else ""


def _from_short_hash(api: HubApi, asked: RepoUrl, error: NotFound) -> Revision:
    assert asked.revision is not None
    try:
        refs = api.refs(asked)
        if not _SHORT_HASH.fullmatch(asked.revision):
            error.hint = near(asked.revision, refs) or "branches and tags: " + ", ".join(sorted(refs)[:10])
            raise error
        history = api.commits(attrs.evolve(asked, revision=DEFAULT_REVISION), pages=_PAGES_OF_HISTORY)
        start = asked.revision.lower()
        commits = {commit for commit in (*refs.values(), *history) if commit.startswith(start)}
    except SourceError as second:
        if second is error:
            raise
        # the hub would not say what it has: the first answer stands
        raise error from second
    if len(commits) > 1:
        raise UsageError(f"{asked} is ambiguous", hint="give one of: " + ", ".join(sorted(commits)))
    if not commits:
        error.hint = "give a branch, a tag, or the commit's full 40 digits"
        raise error
    return api.revision(attrs.evolve(asked, revision=commits.pop()))
