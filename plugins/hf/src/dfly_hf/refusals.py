"""What the hub's refusals mean.

Status codes alone mislead: a missing repository is 401 to a stranger, a gated one 403 to a member. The hub says what it
means in `X-Error-Code`, so that is read first and the status last. A HEAD has no body, but `X-Error-Message`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfly import AccessDenied, Endpoint, NotFound, RateLimited, SourceError, Unsupported, error_for_status, quoted
from dfly_hf.urls import RepoUrl

if TYPE_CHECKING:
    import httpx

_DISABLED = "Access to this resource is disabled."
_BAD_TOKEN = "Invalid credentials in Authorization header"  # noqa: S105 - the hub's words, not a password


def refusal(
    response: httpx.Response, *, about: RepoUrl, endpoint: Endpoint, token_given: bool, said: str = ""
) -> SourceError | None:
    """The error that a response about `about` means, None for success, redirects and 416.

    `said` is the error text of a JSON body, where one was read.
    """
    if response.status_code < 400 or response.status_code == 416:
        return None
    page = f"{endpoint.url}/{about.web_path}"
    code = response.headers.get("x-error-code", "")
    said = quoted(response.headers.get("x-error-message") or said)
    error = _known(code, said, response.status_code, about=about, page=page, token_given=token_given)
    if error is None:
        error = error_for_status(response, what=str(about))
        assert error is not None
        if said:
            error.message += f": {said}"
        if isinstance(error, RateLimited) and not token_given:
            error.hint = "wait, or give a token (--hf-token, HF_TOKEN): the hub allows more with one"
        return error
    error.message += request_id(response)
    error.url = page
    return error


def _known(code: str, said: str, status: int, *, about: RepoUrl, page: str, token_given: bool) -> SourceError | None:
    """The errors that the hub has words of its own for."""
    repository = about.repository
    if code == "RevisionNotFound":
        return NotFound(f"{repository} has no revision {about.revision!r}", kind="revision")
    if code == "EntryNotFound":
        return NotFound(f"{repository} has no file {about.path!r} at {about.revision!r}", kind="file")
    if code == "GatedRepo":
        then = "wait until access is granted" if token_given else "give a token of that account (--hf-token, HF_TOKEN)"
        return AccessDenied(f"{repository} is gated", hint=f"open {page}, log in and accept the terms, then {then}")
    if said == _DISABLED or code == "DisabledRepo":
        return AccessDenied(f"{repository} is disabled by the hub", hint=f"{page} says why")
    if status == 401 and said.startswith(_BAD_TOKEN):
        return AccessDenied(
            f"the hub does not accept the token, asked for {repository}",
            hint="check --hf-token, HF_TOKEN or the file that `hf auth login` writes, and that it is for this endpoint",
        )
    if code == "RepoNotFound" or status == 401:
        # the hub answers the same for both, so that nobody can find out which private names exist
        hint = "check the name and the type (hf://datasets/…, hf://spaces/…); "
        hint += "if it is private, " + (
            "use a token that may read it" if token_given else "give a token: --hf-token or HF_TOKEN"
        )
        return NotFound(f"{repository} does not exist or is private", kind="repository", hint=hint)
    if status == 404 and not about.path:
        return NotFound(f"{repository} at {about.revision!r}: not found", kind="repository")
    return None


def not_a_hub(response: httpx.Response, endpoint: Endpoint, why: str) -> SourceError:
    """The error for an answer that no hub gives: a login wall, a proxy's page, a plain web server."""
    return Unsupported(
        f"{endpoint.url} does not answer like a Hugging Face Hub: {why}{request_id(response)}",
        hint="check HF_ENDPOINT or --hf-endpoint, and whether a proxy or login page is in between",
        url=endpoint.url,
    )


def request_id(response: httpx.Response) -> str:
    """What the hub's support asks for, as the end of a message."""
    found = response.headers.get("x-request-id") or response.headers.get("x-amz-cf-id")
    return f" (request {quoted(found)})" if found else ""
