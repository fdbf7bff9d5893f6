"""What a store's refusals mean.

The status alone misleads: 403 is a wrong key, a wrong clock, an archived object, or a missing one that may not be seen; 400 is
a wrong region or an expired session. The code in the XML body says which. A HEAD has no body: `dfly_s3.api` asks again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import attrs

from dfly import (
    AccessDenied,
    Changed,
    NotFound,
    OriginUnavailable,
    SourceError,
    Unsupported,
    error_for_status,
    quoted,
)
from dfly_s3.account import Account
from dfly_s3.answers import Unreadable, parse
from dfly_s3.urls import S3Url

if TYPE_CHECKING:
    import httpx

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
MISPLACED = frozenset(
    {"AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException"}
)
INTERRUPTED = frozenset({"RequestTimeout", "SlowDown", "ServiceUnavailable", "InternalError", "OperationAborted"})
_SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
_BAD_KEY = {
    "InvalidAccessKeyId": "does not know the access key",
    "SignatureDoesNotMatch": "does not accept the signature: the secret does not belong to the key",
    "InvalidToken": "does not accept the session token",
    "NotSignedUp": "says that the account has no S3",
    "AccountProblem": "says that there is a problem with the account",
}


@attrs.frozen
class Complaint:
    """The error document of a response; `code` is "" where there is none."""

    code: str = ""
    message: str = ""
    region: str = ""
    time: str = ""

    @classmethod
    def of(cls, body: bytes) -> Complaint:
        """Read a body; anything else than an error document has nothing to say."""
        try:
            root = parse(body)
        except Unreadable:
            return cls()
        if root.tag != "Error":
            return cls()
        said = [quoted(root.findtext(name, "")) for name in ("Code", "Message", "Region", "ServerTime")]
        return cls(*said)


def refusal(
    response: httpx.Response,
    said: Complaint,
    *,
    about: S3Url,
    account: Account,
    requester_pays: bool,
    now: Callable[[], float] = time.time,
) -> SourceError | None:
    """The error that a response about `about` means; None for success, redirects and 416."""
    status = response.status_code
    if (status < 400 and not said.code) or status == 416:
        return None
    error = _missing(said.code, response, about) or _known(said, response, about, account, now)
    if error is None and status in (401, 403):
        error = _denied(about, account, requester_pays=requester_pays)
    if error is None:
        error = error_for_status(response, what=str(about)) or Unsupported(f"{about}: {said.code}")
        if said.code:
            error.message += f": {said.code} {said.message}".rstrip()
        return error
    request_id = response.headers.get("x-amz-request-id", "")
    error.message += f" (request {quoted(request_id)})" if request_id else ""
    error.url = str(about.at(about.key))
    return error


def _missing(code: str, response: httpx.Response, about: S3Url) -> SourceError | None:
    bucket = f"s3://{about.bucket}"
    if code in ("NoSuchBucket", "InvalidBucketName"):
        hint = "check its name, and --s3-endpoint if it is not at AWS"
        return NotFound(f"there is no bucket {bucket}", kind="bucket", hint=hint)
    if code == "NoSuchVersion" or (about.version is not None and code == "InvalidArgument"):
        return NotFound(f"{about.at(about.key)} has no version {about.version!r}", kind="revision")
    deleted = response.headers.get("x-amz-delete-marker") == "true"
    if deleted and response.status_code in (404, 405):
        hint = f"an older version may be there: aws s3api list-object-versions --bucket {about.bucket}"
        return NotFound(f"{about} has been deleted", hint=hint)
    if code == "NoSuchKey" or (not code and response.status_code == 404):
        hint = "" if about.is_prefix else "for everything below a prefix write a final / and add -r"
        return NotFound(f"{bucket} has no object {about.key!r}", hint=hint)
    return None


def _known(
    said: Complaint, response: httpx.Response, about: S3Url, account: Account, now: Callable[[], float]
) -> SourceError | None:
    code = said.code
    if code in INTERRUPTED:
        return OriginUnavailable(f"{about}: the store answers {code}")
    if code == "InvalidObjectState":
        hint = f"have it restored first: aws s3api restore-object --bucket {about.bucket} --key …"
        return AccessDenied(f"{about} is archived (Glacier) and cannot be read now", hint=hint)
    if code in _SKEWED:
        return AccessDenied(
            f"{about}: this machine's clock is wrong{_skew(said, response, now)}",
            hint="set the clock, by NTP for example",
        )
    if code in EXPIRED:
        return AccessDenied(
            f"{about}: the session token of {account.source} has expired",
            hint="get new credentials (aws sso login) and run the command again: what has arrived is kept",
        )
    if code in _BAD_KEY:
        return AccessDenied(
            f"{about}: the store {_BAD_KEY[code]}", hint=f"check {account.source}, and that it is for this endpoint"
        )
    if code in MISPLACED:
        where = said.region or response.headers.get("x-amz-bucket-region") or "another region"
        return Unsupported(f"{about}: the store sends to {where} ({code})", hint="check --s3-region and --s3-endpoint")
    if code == "PreconditionFailed":
        return Changed(f"{about} has been replaced since it was listed", hint="run the command again")
    return None


_UNSIGNED = (
    "leave out --s3-anonymous; a seed peer or daemon keeps its own keys from an endpoint that you choose: "
    "give --s3-access-key-id and --s3-secret-access-key with it"
)


def _denied(about: S3Url, account: Account, *, requester_pays: bool) -> AccessDenied:
    if account.anonymous:
        return AccessDenied(f"{about} is not public, and was asked for without credentials", hint=_UNSIGNED)
    if not account.source:
        how = f"looked at {account.looked_at}"
        return AccessDenied(f"{about} is not public, and no credentials were found", hint=how)
    hint = "check what these credentials may read; without s3:ListBucket a missing object looks like this too"
    if not requester_pays:
        hint += "; a requester-pays bucket wants --s3-requester-pays 1"
    return AccessDenied(f"{about}: the credentials of {account.source} do not open it", hint=hint)


def _skew(said: Complaint, response: httpx.Response, now: Callable[[], float]) -> str:
    try:
        if said.time:
            there = datetime.fromisoformat(said.time).timestamp()
        else:
            there = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (TypeError, ValueError, OverflowError):
        return ""
    seconds = round(now() - there)
    return f": {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} the store's"
