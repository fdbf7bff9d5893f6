"""The store's HTTP API: one signed call at a time, asked again where the store only says where or when to ask.

A bucket in another region is found by what the store answers and remembered; a session that ran out in the middle is
renewed. Both happen once a call. Nothing else is tried again here: that is the client's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from urllib.parse import urljoin, urlsplit

import attrs
import httpx

from dfly import NotFound, OriginUnavailable, RateLimited, SourceError, Unsupported, UsageError, bare_url
from dfly_s3.account import Account, Signature
from dfly_s3.answers import Facts, Page, Unreadable, page_of
from dfly_s3.endpoints import Endpoint, region_of_host, valid_region
from dfly_s3.refusals import EXPIRED, INTERRUPTED, MISPLACED, Complaint, refusal
from dfly_s3.urls import S3Url

#: A listing without end is a stranger's way to fill a memory.
MOST_PAGES = 10_000
LARGEST_ANSWER = 16 << 20
LARGEST_ERROR = 64 << 10
#: A call, a call in the right region, a call with a fresh session.
_MOST_CALLS = 3


@attrs.frozen
class Answer:
    """A response that is read: headers, and the body of what is not an object."""

    response: httpx.Response
    body: bytes

    @property
    def headers(self) -> httpx.Headers:
        """The response's headers."""
        return self.response.headers


class S3Api:
    """Calls to one store with one account. Raises SourceErrors. Thread-safe."""

    def __init__(self, *, client: httpx.Client, account: Account, requester_pays: bool) -> None:
        self.account = account
        self._client = client
        self._requester_pays = requester_pays
        self._regions: dict[str, str] = {}

    @cached_property
    def endpoint(self) -> Endpoint:
        """Where the store is."""
        return self.account.endpoint()

    @cached_property
    def region(self) -> str:
        """Where buckets are asked for first."""
        return self.account.region()

    @property
    def headers(self) -> dict[str, str]:
        """What every request for an object carries."""
        return {"x-amz-request-payer": "requester"} if self._requester_pays else {}

    def url(self, at: S3Url, query: Mapping[str, str] | None = None) -> str:
        """The web URL of an object's version, as far as the bucket's region is known."""
        version = {"versionId": at.version} if at.version is not None else {}
        region = self._region_of(at.bucket)
        return self.endpoint.url(at.bucket, at.key, region=region, query={**version, **(query or {})})

    def signature(self, at: S3Url) -> Signature | None:
        """What signs requests for an object; None where nothing is signed."""
        return None if self.account.anonymous else Signature(self.account, self._region_of(at.bucket))

    # Reading

    def head(self, at: S3Url) -> Facts:
        """What an object is."""
        headers = {"x-amz-checksum-mode": "ENABLED"}
        try:
            return self._facts(at, self.call("HEAD", at, headers=headers))
        except SourceError as error:
            if isinstance(error, (OriginUnavailable, RateLimited)):
                raise
        # a HEAD has no body to say why not, a GET has; where that worked, it has found a region or a session
        probe = self.call("GET", at, headers={**headers, "range": "bytes=0-0"})
        again = self._send("HEAD", at, headers=headers)
        return self._facts(at, again if again.response.is_success else probe)

    def _facts(self, at: S3Url, answer: Answer) -> Facts:
        headers = answer.headers
        if "etag" not in headers and not any(name.startswith("x-amz-") for name in headers):
            raise self._not_a_store(f"no ETag for {at}")
        facts = Facts.of(headers)
        if at.version not in (None, "null") and facts.version != at.version:
            # some stores answer with the newest where nothing is versioned
            raise NotFound(f"{at.at(at.key)} has no version {at.version!r}", kind="revision", url=str(at.at(at.key)))
        return facts

    def pages(self, below: S3Url, *, most: int | None = None) -> Iterator[Page]:
        """The listing of everything whose key starts with `below.key`; `most` keys a page."""
        query = {"list-type": "2", "encoding-type": "url"}
        query |= {"prefix": below.key} if below.key else {}
        query |= {"max-keys": str(most)} if most is not None else {}
        token, seen = None, set[str]()
        while True:
            asked = query | ({"continuation-token": token} if token is not None else {})
            answer = self.call("GET", below.at(""), query=asked, about=below)
            try:
                page = page_of(answer.body)
            except Unreadable as error:
                raise self._not_a_store(f"{error}, where the listing of {below} belongs") from error
            yield page
            token = page.next_token
            if token is None:
                return
            if token in seen:
                raise SourceError(f"{below}: the listing leads back to a page already read", url=str(below))
            seen.add(token)
            if len(seen) > MOST_PAGES:
                raise SourceError(f"{below}: the listing has more than {MOST_PAGES:,} pages", url=str(below))

    # Calling

    def call(
        self,
        method: str,
        at: S3Url,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        about: S3Url | None = None,
    ) -> Answer:
        """One call, answered with success. Raises the error that any other answer means; `about` is what it names."""
        answer = self._send(method, at, query=query, headers=headers, content=content)
        error = self.refused(answer.response, answer.body, about or at)
        if error is not None:
            raise error
        if answer.response.is_redirect:
            raise Unsupported(
                f"{bare_url(str(answer.response.request.url))} redirects to another address",
                hint="give that address with --s3-endpoint, or the bucket's region with --s3-region",
                url=str(at),
            )
        return answer

    def _send(
        self,
        method: str,
        at: S3Url,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        for calls_left in reversed(range(_MOST_CALLS)):
            signed: list[httpx.Request] = []
            # the signature is an extension, so that each of the client's retries is signed when it is sent
            extensions = {
                "dfly.auth": self.signature(at),
                "dfly.follow": False,
                "dfly.idempotent": True,
                "dfly.on_response": partial(_keep_request, signed),
            }
            sent = {**self.headers, **(headers or {})}
            url = self.url(at, query)
            try:
                with self._client.stream(method, url, headers=sent, content=content, extensions=extensions) as response:
                    answer = Answer(response, self._body(response))
            except (httpx.InvalidURL, UnicodeError) as error:
                raise UsageError(f"{bare_url(url)!r} is no web address", hint="check --s3-endpoint") from error
            except httpx.HTTPError as error:
                host = urlsplit(url).netloc
                raise OriginUnavailable(f"{host}: connection lost: {error}", url=bare_url(url)) from error
            if not calls_left or not (_interrupted(answer) or self.learn(signed[-1], response, answer.body, at)):
                break
        return answer

    def _body(self, response: httpx.Response) -> bytes:
        if "range" in response.request.headers and response.is_success:
            return b""
        limit = LARGEST_ANSWER if response.is_success else LARGEST_ERROR
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > limit:
                if response.is_success:
                    raise self._not_a_store(f"more than {limit >> 20} MiB where an API answer belongs")
                break
        return bytes(body)

    # Judging

    def learn(self, asked: httpx.Request, response: httpx.Response, body: bytes, at: S3Url) -> bool:
        """Whether a refusal says how to be answered better: in another region, with a fresh session. Remembers it.

        `asked` is the request as it was signed.
        """
        said = Complaint.of(body) if body else Complaint()
        if said.code in EXPIRED:
            return self.account.renew(asked.headers.get("x-amz-security-token"))
        if response.status_code not in (301, 307, 400, 403) or not (said.code in MISPLACED or not said.code):
            return False
        location = urljoin(str(asked.url), response.headers.get("location", ""))
        told = (
            response.headers.get("x-amz-bucket-region")
            or said.region
            or region_of_host(urlsplit(location).hostname or "")
        )
        if not told or not valid_region(told):
            return False
        self._regions[at.bucket] = told
        # another worker may have learnt the same: what counts is how this request was made
        misplaced = urlsplit(self.url(at)).netloc != asked.url.netloc.decode("ascii")
        return misplaced or _signed_region(asked) not in (told, None)

    def refused(self, response: httpx.Response, body: bytes, about: S3Url) -> SourceError | None:
        """The error that a response about `about` means, or None."""
        said = Complaint.of(body) if body else Complaint()
        return refusal(response, said, about=about, account=self.account, requester_pays=self._requester_pays)

    def _region_of(self, bucket: str) -> str:
        return self._regions.get(bucket, self.region)

    def _not_a_store(self, why: str) -> Unsupported:
        url = self.endpoint.base(self.region)
        hint = "check --s3-endpoint and AWS_ENDPOINT_URL, and whether a proxy or login page is in between"
        return Unsupported(f"{url} does not answer like an S3 store: {why}", hint=hint, url=url)


def _keep_request(kept: list[httpx.Request], response: httpx.Response) -> None:
    # what the client hands out is the request before it was signed
    kept.append(response.request)


def _interrupted(answer: Answer) -> bool:
    """Whether the store broke off what it had begun, and says so in a way that the client does not retry."""
    status = answer.response.status_code
    return status in (200, 400) and Complaint.of(answer.body).code in INTERRUPTED


def _signed_region(request: httpx.Request) -> str | None:
    """The region in a signature's scope: `Credential=key/date/region/s3/aws4_request`."""
    _, _, scope = request.headers.get("authorization", "").partition("Credential=")
    parts = scope.partition(",")[0].split("/")
    return parts[-3] if len(parts) >= 5 else None
