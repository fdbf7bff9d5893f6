"""The hub's HTTP API: its URLs and its JSON, checked. Nothing else in this plugin knows either.

Every answer is a stranger's: its size is capped, its envelope is read before its data, and what it names is data. A page
that cannot be read is an error, never a shorter listing. Retries and redirects are the client's, with one exception: the
hub now and then denies a page of a listing that it has just shown (403), which only somebody who knows that may retry.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import attrs

from dfly import Changed, Endpoint, Secret, SourceError, UsageError, reaching, read_capped
from dfly_modelscope.envelope import Asked, not_a_hub, parse, refusal
from dfly_modelscope.rows import Page, Row, merged, row_of, same_tip, tip_of
from dfly_modelscope.urls import RepoUrl

if TYPE_CHECKING:
    import httpx

#: The hub lists no more of a model than this, says nothing about it, and has no pages.
MODEL_CAP = 3000
DATASET_PAGE = 200
#: A listing without end is a stranger's way to fill a memory.
MOST_PAGES = 50_000
LARGEST_ANSWER = 64 << 20
LARGEST_ERROR = 64 << 10
#: How often a page is asked for that is denied after others were shown, and the first pause between, in seconds.
_PAGE_TRIES, _PAGE_PAUSE = 4, 1.0


class HubApi:
    """Calls to one hub with one token. Raises SourceErrors. Thread-safe. `sleep` waits between tries of a denied page."""

    def __init__(
        self,
        *,
        client: httpx.Client,
        endpoint: Endpoint,
        token: Secret | None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.endpoint = endpoint
        self._token_given = token is not None
        #: What every request to the hub carries, and nobody else gets to see.
        self.headers = _credentials(endpoint, token)
        self._client = client
        self._sleep = sleep
        self._shown: set[tuple[str, str]] = set()

    def level(self, at: RepoUrl, root: str, *, recursive: bool) -> Page:
        """What is in the folder `root` ("" is the repository) at `at.revision`; of a model 3,000 rows at most."""
        if at.kind == "datasets":
            return merged(self._dataset_pages(at, root, recursive=recursive))
        page = self._page(at, "files", root, recursive=recursive)
        return attrs.evolve(page, complete=len(page.rows) < MODEL_CAP)

    def names(self, at: RepoUrl) -> list[str]:
        """The branches and tags of the repository."""
        about = attrs.evolve(at, path="")
        data = self._data(*self._get(f"{self._repo(at)}/revisions"), about)
        groups = data.get("RevisionMap") if isinstance(data, dict) else None
        found = []
        for group in ("Branches", "Tags"):
            refs = groups.get(group) if isinstance(groups, dict) else None
            for ref in refs if isinstance(refs, list) else ():
                match ref:
                    case {"Revision": str(name)}:
                        found.append(name)
        return found

    def head(self, at: RepoUrl) -> httpx.Response:
        """The hub's own answer for a file's content, not followed."""
        with self._reaching():
            return self._client.request(
                "HEAD", self.file_url(at), headers=self.headers, extensions={"dfly.follow": False}
            )

    def file_url(self, at: RepoUrl) -> str:
        """Where the hub serves a file's bytes or redirects to them. A space in a path is `+` here."""
        assert at.revision is not None
        return f"{self._repo(at)}/repo?Revision={quote_plus(at.revision)}&FilePath={quote_plus(at.path)}"

    def refused(self, response: httpx.Response, about: RepoUrl, body: bytes = b"") -> SourceError | None:
        """The error that `response` with this body means, or None."""
        return refusal(response, parse(response, body), self._asked(about))

    def _dataset_pages(self, at: RepoUrl, root: str, *, recursive: bool) -> Iterator[Page]:
        first: Page | None = None
        number = 0
        while True:
            number += 1
            if number > MOST_PAGES:
                raise SourceError(f"{at}: the hub's listing has more than {MOST_PAGES:,} pages", url=str(at))
            page = self._page(at, "tree", root, recursive=recursive, number=number)
            yield page
            if first is None:
                first = page
            elif not same_tip(first.tip, page.tip):
                raise Changed(f"{at} changed while it was being listed", hint="run the command again", url=str(at))
            elif page.rows and page.rows == first.rows:
                raise SourceError(f"{at}: the hub's listing begins again on page {number}", url=str(at))
            if len(page.rows) < DATASET_PAGE:
                return

    def _page(self, at: RepoUrl, call: str, root: str, *, recursive: bool, number: int | None = None) -> Page:
        assert at.revision is not None
        url = f"{self._repo(at)}/repo/{call}?Revision={quote_plus(at.revision)}&Recursive={recursive}"
        if number is not None:
            url += f"&PageNumber={number}&PageSize={DATASET_PAGE}"
        if root:
            url += f"&Root={quote_plus(root)}"
        data = self._shown_data(url, attrs.evolve(at, path=root))
        # a bare list, or one under a key; None there is how the hub says "no such revision", and "nothing in it"
        files = data if isinstance(data, list) else data.get("Files", data.get("files"))
        return Page(rows=tuple(self._rows([] if files is None else files, root, at)), tip=tip_of(data))

    def _rows(self, files: Any, root: str, at: RepoUrl) -> Iterator[Row]:
        if not isinstance(files, list):
            raise self._unreadable(at, "a listing that is no list")
        for item in files:
            row = row_of(item)
            if row is None:
                raise self._unreadable(at, "a listing with a row that cannot be read")
            if root and not row.path.startswith(f"{root}/"):
                raise self._unreadable(at, f"a listing of {root!r} with a row of another folder")
            yield row

    def _shown_data(self, url: str, at: RepoUrl) -> Any:
        """The data of a page, asked for again where it is denied although this repository has shown one before."""
        repository = (at.kind, at.repo)
        tries = _PAGE_TRIES if repository in self._shown else 1
        response, body = self._get(url)
        for tried in range(1, tries):
            if response.status_code != 403:
                break
            self._sleep(_PAGE_PAUSE * 2.0 ** (tried - 1))
            response, body = self._get(url)
        data = self._data(response, body, at)
        self._shown.add(repository)
        return data

    def _get(self, url: str) -> tuple[httpx.Response, bytes]:
        with self._reaching(), self._client.stream("GET", url, headers=self.headers) as response:
            body = read_capped(response, LARGEST_ERROR if response.status_code >= 400 else LARGEST_ANSWER)
        if body is None:
            why = f"more than {LARGEST_ANSWER >> 20} MiB, or an unknown encoding"
            raise not_a_hub(response, self.endpoint, why)
        return response, body

    def _data(self, response: httpx.Response, body: bytes, at: RepoUrl) -> Any:
        """The Data of an answer, a list or a mapping; everything else is an error, under whatever status it comes."""
        answer = parse(response, body)
        refused = refusal(response, answer, self._asked(at))
        if refused is not None:
            raise refused
        if answer is None:
            kind = response.headers.get("content-type", "no type").partition(";")[0]
            raise not_a_hub(response, self.endpoint, f"{kind} without an envelope")
        if not isinstance(answer.data, list | dict):
            said = f" (it says: {answer.said})" if answer.said else ""
            raise not_a_hub(response, self.endpoint, f"an answer without data{said}")
        return answer.data

    def _repo(self, at: RepoUrl) -> str:
        return f"{self.endpoint.url}/api/v1/{at.kind}/{at.repo}"

    def _asked(self, about: RepoUrl) -> Asked:
        return Asked(about, self.endpoint, self._token_given)

    def _unreadable(self, at: RepoUrl, why: str) -> SourceError:
        # imported here, because `dfget --help` shows this plugin's flags and must not wait for an HTTP client
        import httpx

        return not_a_hub(httpx.Response(200), self.endpoint, f"{why}, for {at}")

    def _reaching(self) -> AbstractContextManager[None]:
        return reaching(self.endpoint.url, hint="check the network, the proxy settings and MODELSCOPE_ENDPOINT")


def _credentials(endpoint: Endpoint, token: Secret | None) -> dict[str, str]:
    """The token twice, as the hub's own client sends it: older calls read the cookie, newer ones the header."""
    headers = {}
    if token is not None:
        text = token.reveal()
        if not text.isascii() or not text.isprintable() or any(c in text for c in ' ;,"\\'):
            raise UsageError(
                "the token has characters that no token has", hint="check --ms-token or MODELSCOPE_API_TOKEN"
            )
        headers = {"Authorization": f"Bearer {text}", "Cookie": f"m_session_id={text}"}
    if endpoint.authorization is not None:
        # a password in the endpoint opens what is in front of the hub; the cookie still opens the hub
        headers["Authorization"] = endpoint.authorization
    return headers
