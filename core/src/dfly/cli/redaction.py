"""The last defence against secrets in a log or traceback. Our code puts none there; other people's libraries may."""

import re
from collections.abc import Mapping
from typing import Any

_SECRET_KEY = re.compile(
    r"token|authorization|cookie|password|passwd|secret|api[-_]?key|credential|signature", re.IGNORECASE
)
_SCHEMES = re.compile(r"\b(Bearer|Basic|Token|SharedKey\w*|\w+-HMAC-\w+)\s+[^\s'\",;]+", re.IGNORECASE)
_HEADER = re.compile(
    r"((?:authorization|cookie|[\w-]*(?:token|api[-_]?key|secret|password)[\w-]*)['\"]?\s*[:=]\s*['\"]?)[^\s'\",;&)]+",
    re.IGNORECASE,
)
_QUERY = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?#'\"<>]*)\?[^\s'\"<>]*", re.IGNORECASE)
#: Parts of the control plane's paths that open something: a grant, and the seal of a private task.
_PATH = re.compile(r"(/v1/(?:blobs/|snapshots/[0-9a-f]{32}-))[^\s/?#'\"<>]+")
_USER_INFO = re.compile(r"(\bhttps?://)[^\s/@'\"]+@", re.IGNORECASE)

MASK = "***"


def redact(text: str) -> str:
    """`text` without credentials: schemes with a secret, secret headers, URL queries (they may be signed), user-info, grants.

    >>> redact("GET https://me:pw@host/a?signature=1 with Bearer abc")
    'GET https://***@host/a?*** with Bearer ***'
    """
    text = _SCHEMES.sub(rf"\1 {MASK}", text)
    text = _QUERY.sub(rf"\1?{MASK}", text)
    text = _PATH.sub(rf"\1{MASK}", text)
    text = _USER_INFO.sub(rf"\1{MASK}@", text)
    return _HEADER.sub(lambda found: found[0] if found[0].endswith(MASK) else found[1] + MASK, text)


def redact_values(value: Any, *, key: str = "") -> Any:
    """The same for what a log line carries: secret keys lose their value, whatever it is; strings are searched."""
    if _SECRET_KEY.search(key):
        return MASK
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bytes):
        return redact(value.decode("utf-8", "replace"))
    if isinstance(value, Mapping):
        return {k: redact_values(v, key=str(k)) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact_values(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float)) else redact(repr(value))
