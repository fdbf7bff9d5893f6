"""One attempt at a range of a file over HTTP: locate, ask, judge the answer, watch the bytes come in.

Nothing here tries again or sleeps. A failure says by its type what the next attempt should do differently
(`dfly.origin.patience` makes it), and what it may no longer rely on has been forgotten by then.
"""

import time
from collections.abc import Callable, Iterator

import attrs
import httpx

from dfly.backend import Backend, Request, error_for_status
from dfly.config import Network
from dfly.errors import AccessDenied, Changed, Expired, OriginUnavailable, RangesUnsupported, RateLimited, SourceError
from dfly.origin.answers import Body, Wanted, accept
from dfly.origin.bodies import cap, discard, excerpt, text_of
from dfly.origin.errors import Overloaded, mapped
from dfly.origin.links import Address, Place, Places
from dfly.origin.names import origin_of
from dfly.origin.pauses import Paused, Pauses, asked_pause
from dfly.values import Entry, bare_url

_REFUSED_LINK = frozenset({401, 403, 410})


@attrs.frozen(eq=False)
class _Answer:
    response: httpx.Response
    address: Address


class Ranges:
    """The range engine, `dfly.backend.RangeReader`. Thread-safe; one for all backends of a process.

    `client` follows redirects safely (`dfly.origin.client`). `clock` is monotonic, `now` is Unix time, both in seconds.
    """

    def __init__(
        self,
        client: httpx.Client,
        *,
        network: Network,
        pauses: Pauses,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._network = network
        self._pauses = pauses
        self._clock = clock
        self._places = Places(now=now)

    def __call__(self, backend: Backend, entry: Entry, start: int, stop: int | None) -> Iterator[bytes]:
        """Yield bytes `[start, stop)`; `stop` None reads to the end. What has been yielded is right even if it stops
        short.

        Raises any SourceError: OriginUnavailable, RateLimited and Expired are worth another attempt at the offset
        reached.
        """
        if entry.size is not None:
            stop = entry.size if stop is None else min(stop, entry.size)
        if stop is not None and start >= stop and not start == entry.size == 0:
            return
        wanted = Wanted(start, stop, whole=start == 0 and stop == entry.size)
        place = self._places.of(backend, entry)
        answer = self._open(place, entry, wanted)
        url = bare_url(str(answer.address.url))
        try:
            try:
                body = accept(answer.response, entry, wanted, url=url)
                self._check_etag(place, entry, answer)
            except Changed:
                if entry.validator is None:
                    self._places.drop(backend, entry)  # nothing tells the next content from this one: begin anew
                else:
                    place.forget(answer.address)
                raise
            except RangesUnsupported:
                raise
            except SourceError:
                place.forget(answer.address)
                raise
            if answer.response.status_code == 416:
                return
            with mapped(url):
                yield from self._watched(answer.response, body, what=f"{entry.path}: {url}", url=url)
            self._expect_all(body, wanted, entry, url)
        finally:
            answer.response.close()

    def _open(self, place: Place, entry: Entry, wanted: Wanted) -> _Answer:
        address = place.address(self._places.now())
        if address is None:
            with place.finding:
                address = place.address(self._places.now())
                if address is None:
                    request = place.backend.locate(entry)
                    answer = self._ask(place, entry, wanted, Address.of(request), fresh=True)
                    place.remember(answer.address)
                    return answer
        try:
            answer = self._ask(place, entry, wanted, address, fresh=False)
        except (RateLimited, RangesUnsupported):
            raise
        except SourceError:
            place.forget(address)
            raise
        if answer.address is not address:
            place.remember(answer.address)
        return answer

    def _ask(self, place: Place, entry: Entry, wanted: Wanted, address: Address, *, fresh: bool) -> _Answer:
        request, url = address.request, address.url
        if request.ranges is False and not wanted.whole:
            raise RangesUnsupported(f"{entry.path}: its origin serves no ranges", url=bare_url(request.url))
        origin = address.origin
        paused = self._pauses.remaining(origin)
        if paused > 0:
            raise Paused(f"{origin} asked for a pause", after=paused, url=bare_url(str(url)))
        answered_by = url

        def judge(response: httpx.Response) -> None:
            nonlocal answered_by
            answered_by = response.request.url
            self._judge(place.backend, entry, address, response, fresh=fresh)

        at_home = address.at_home
        built = self._client.build_request(
            "GET",
            url,
            headers=_headers(request, wanted, at_home=at_home),
            extensions={"dfly.on_response": judge, "dfly.auth": request.auth if at_home else None},
        )
        with mapped(str(url)):
            response = self._client.send(built, stream=True)
        stayed = answered_by is built.url or answered_by == url
        return _Answer(response, address if stayed else address.redirected(answered_by))

    def _judge(
        self, backend: Backend, entry: Entry, address: Address, response: httpx.Response, *, fresh: bool
    ) -> None:
        """Raise what a response of the chain means, before its body is read."""
        status = response.status_code
        origin = origin_of(response.request.url)
        at_home = origin == address.home
        if status < 400:
            if at_home:
                backend.check(entry, response)
            return
        cap(response)
        asked = asked_pause(response.headers) if status in (429, 503) else None
        if asked is not None:
            self._pauses.pause(origin, asked)
        try:
            if at_home:
                _judge_at_home(backend, entry, address.request, response, fresh=fresh)
            else:
                _judge_elsewhere(entry, response, fresh=fresh)
        except SourceError as error:
            if not at_home or type(backend).check is Backend.check:
                _quote(error, response)
            if isinstance(error, RateLimited) and error.after is None:
                error.after = asked
            if status == 503 and type(error) is OriginUnavailable:
                raise Overloaded(error.message, hint=error.hint, url=error.url) from error
            raise
        finally:
            if status != 416:
                discard(response)

    def _check_etag(self, place: Place, entry: Entry, answer: _Answer) -> None:
        """Refuse other content than the one pinned: by the backend's ETag at home, by the first one seen elsewhere.

        An ETag of elsewhere counts only where no digest would notice a mix: mirrors disagree about ETags of the same
        bytes.
        """
        etag = _strong(answer.response.headers.get("etag", ""))
        if not etag or answer.response.status_code == 416:
            return
        address = answer.address
        expected = _strong(address.request.etag or "") if address.at_home else ""
        if not expected:
            expected = etag if entry.digests else place.pinned(address.origin, etag)
        if etag != expected:
            url = bare_url(str(address.url))
            raise Changed(
                f"{entry.path}: {url} has other content than before (its ETag changed)",
                hint="the file changed while it was being fetched; run the command again",
                url=url,
            )

    def _watched(self, response: httpx.Response, body: Body, *, what: str, url: str) -> Iterator[bytes]:
        """The body's bytes, never more than its length; raises where it crawls."""
        chunks = response.iter_bytes() if body.encoded else response.iter_raw()
        clock, patience = self._clock, self._network.low_speed_time
        enough = self._network.low_speed * patience
        left = body.length
        window, waited = 0, 0.0
        while True:
            # only the time spent waiting for the origin counts, not what the reader does with the bytes
            asked_at = clock()
            chunk = next(chunks, None)
            waited += clock() - asked_at
            if chunk is None:
                break
            window += len(chunk)
            if window >= enough:
                window, waited = 0, 0.0
            elif waited > patience:
                raise OriginUnavailable(f"{what} came slower than {self._network.low_speed} bytes/s", url=url)
            if left is not None:
                left -= len(chunk)
                if left < 0:
                    raise OriginUnavailable(f"{what} sent more than the {body.length} bytes expected", url=url)
            yield chunk
        if left:
            raise OriginUnavailable(f"{what} ended {left} bytes early", url=url)

    @staticmethod
    def _expect_all(body: Body, wanted: Wanted, entry: Entry, url: str) -> None:
        if wanted.stop is None or body.length is None:
            return
        missing = wanted.stop - wanted.start - body.length
        if missing > 0:
            raise OriginUnavailable(f"{entry.path}: {url} sent {missing} bytes less than asked for", url=url)


def _headers(request: Request, wanted: Wanted, *, at_home: bool) -> dict[str, str]:
    headers = dict(request.headers) if at_home else {}
    if not wanted.whole:
        headers["Range"] = wanted.range
    if at_home and request.etag:
        headers["If-Match"] = f'"{_strong(request.etag)}"'
    return headers


def _judge_at_home(backend: Backend, entry: Entry, request: Request, response: httpx.Response, *, fresh: bool) -> None:
    """Raise what a failing status means to the backend; a link that runs out and has worked before has run out."""
    try:
        backend.check(entry, response)
    except AccessDenied as error:
        if fresh or request.expires_at is None:
            raise
        raise Expired(error.message, url=error.url) from error


def _judge_elsewhere(entry: Entry, response: httpx.Response, *, fresh: bool) -> None:
    """What a failing status means where a redirect led: the signed link has run out, or what every status means."""
    status = response.status_code
    expired = status in _REFUSED_LINK or (status == 400 and "expired" in text_of(response).lower())
    if expired or (status == 404 and not fresh):
        url = bare_url(str(response.request.url))
        raise Expired(f"{entry.path}: the link to it at {url} has run out ({status})", url=url)
    error = error_for_status(response, what=entry.path)
    if error is not None:
        raise error


def _quote(error: SourceError, response: httpx.Response) -> None:
    said = excerpt(response)
    if said:
        error.message = f"{error.message}: {said}"


def _strong(etag: str) -> str:
    """The opaque part of a strong ETag, quoted or not; empty for a weak one."""
    etag = etag.strip()
    return "" if etag.startswith(("W/", "w/")) else etag.removeprefix('"').removesuffix('"')
