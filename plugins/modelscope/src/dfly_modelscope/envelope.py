"""What the hub's answers mean: its JSON envelope, and the refusals in it.

Every answer of the API is `{"Code", "Success", "Message", "RequestId", "Data"}`. HTTP statuses mislead here: a failure may
come under 200, a bad token under 400, and whatever one may not read under 404. So a business code is believed before the
status; only a 5xx stays what it is, for it is worth another try whatever its body says.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from dfly import (
    AccessDenied,
    Endpoint,
    NotFound,
    OriginUnavailable,
    RateLimited,
    SourceError,
    Unsupported,
    error_for_status,
    quoted,
)
from dfly_modelscope.urls import INTERNATIONAL, RepoUrl

if TYPE_CHECKING:
    import httpx

BAD_TOKEN = 10010103009
#: A repository that is not there.
NO_REPOSITORY = 10010205001
#: A repository that is there, for others: private, or gated.
NO_ACCESS = 10010200001
NO_TREE = 10990101004
NO_FILE = 10990101007
_OK = (200, None)
_OUTAGES = (500, 502, 503, 504)


@attrs.frozen
class Envelope:
    """One answer, read leniently: `code` is None where there is none, `said` is fit for a terminal."""

    status: int
    code: int | None
    success: bool
    said: str
    request_id: str
    data: Any

    @property
    def failed(self) -> bool:
        """Whether this answer is a refusal, under whatever status it came."""
        return self.status >= 400 or self.code not in _OK or not self.success


@attrs.frozen
class Asked:
    """What a request was about and who asked: what a message needs."""

    about: RepoUrl
    endpoint: Endpoint
    token_given: bool

    @property
    def page(self) -> str:
        """The repository's page in a browser."""
        return f"{self.endpoint.url}/{self.about.kind}/{self.about.repo}"


def parse(response: httpx.Response, body: bytes) -> Envelope | None:
    """Read an answer's body; None where it is no envelope."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not any(key.lower() in ("code", "success", "data") for key in found):
        return None
    lowered = {key.lower(): value for key, value in found.items()}
    said = lowered.get("message")
    told = lowered.get("requestid") or lowered.get("request_id") or response.headers.get("x-request-id")
    return Envelope(
        status=response.status_code,
        code=_number(lowered.get("code")),
        success=lowered.get("success") is not False,
        said=quoted(said) if isinstance(said, str) else "",
        request_id=quoted(told) if isinstance(told, str) else "",
        data=lowered.get("data"),
    )


def refusal(response: httpx.Response, answer: Envelope | None, asked: Asked) -> SourceError | None:
    """The error that a response means; None for success, redirects and 416."""
    status = response.status_code
    if status == 416 or (status < 400 and (answer is None or not answer.failed)):
        return None
    code = answer.code if answer is not None and status < 500 else None
    error = _by_code(code, asked) or _by_status(_status(status, code), asked)
    if error is None:
        error = error_for_status(response, what=str(asked.about)) or SourceError(
            f"{asked.about}: the hub refuses" + (f" with code {code}" if code and code not in _OK else "")
        )
    if answer is not None and answer.said and not isinstance(error, NotFound):
        error.message += f": {answer.said}"
    error.message += _request(answer, response)
    error.url = error.url or asked.page
    if isinstance(error, RateLimited) and not asked.token_given:
        error.hint = "wait, or give a token (--ms-token, MODELSCOPE_API_TOKEN)"
    return error


def not_a_hub(response: httpx.Response, endpoint: Endpoint, why: str) -> SourceError:
    """The error for an answer that no hub gives: a login wall, a proxy's page, a plain web server."""
    return Unsupported(
        f"{endpoint.url} does not answer like ModelScope: {why}{_request(None, response)}",
        hint="check MODELSCOPE_ENDPOINT or --ms-endpoint, and whether a proxy or login page is in between",
        url=endpoint.url,
    )


def _by_code(code: int | None, asked: Asked) -> SourceError | None:
    repository, token = asked.about.repository, "give a token: --ms-token or MODELSCOPE_API_TOKEN"
    if code == BAD_TOKEN:
        return AccessDenied(
            f"the hub does not accept the token, asked for {repository}",
            hint="check --ms-token or MODELSCOPE_API_TOKEN, and that it is for this site: "
            f"modelscope.cn and {INTERNATIONAL} have tokens of their own (--ms-endpoint chooses)",
        )
    if code == NO_ACCESS:
        then = "ask for access, or use a token that may read it" if asked.token_given else token
        return AccessDenied(f"{repository} is private or gated", hint=f"open {asked.page}, then {then}")
    if code == NO_REPOSITORY:
        hint = "check the name and the type (modelscope://datasets/…); if it is private, "
        hint += "use a token that may read it" if asked.token_given else token
        return NotFound(f"{repository} does not exist or is private", kind="repository", hint=hint)
    if code == NO_TREE:
        return NotFound(f"{repository} has no revision {asked.about.revision!r}", kind="revision")
    if code == NO_FILE:
        return no_file(asked.about)
    return None


def _by_status(status: int, asked: Asked) -> SourceError | None:
    if status in (401, 403):
        hint = f"open {asked.page} to see who may read it; " + (
            "the token given may not" if asked.token_given else "give a token: --ms-token or MODELSCOPE_API_TOKEN"
        )
        return AccessDenied(f"{asked.about}: access denied ({status})", hint=hint)
    if status == 404:
        return no_file(asked.about) if asked.about.path else _by_code(NO_REPOSITORY, asked)
    if status == 429:
        return RateLimited(f"{asked.about}: the hub asks for patience (429)")
    if status in _OUTAGES:
        return OriginUnavailable(f"{asked.about}: {asked.endpoint.url} is out of order ({status})")
    return None


def no_file(at: RepoUrl, hint: str = "") -> NotFound:
    """A file or folder that is not there."""
    return NotFound(
        f"{at.repository} has no file or folder {at.path!r} at {at.revision}", kind="file", hint=hint, url=str(at)
    )


def _status(status: int, code: int | None) -> int:
    """The code where it is itself an HTTP status: the hub sends those under 200 too."""
    return code if code is not None and 400 <= code <= 599 else status


def _request(answer: Envelope | None, response: httpx.Response) -> str:
    found = (answer.request_id if answer else "") or quoted(response.headers.get("x-request-id", ""))
    return f" (request {found})" if found else ""


def _number(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int | str):
        return 0
    try:
        return int(value)
    except ValueError:
        # a word, as the openapi sends them: a refusal, and the status says which
        return 0
