"""What can be set for the hub, with the variables and files that its own tools use.

| flag | variables | for |
| --- | --- | --- |
| `--hf-token` | HF_TOKEN, HUGGING_FACE_HUB_TOKEN, else the token file | what only you may read |
| `--hf-revision` | | branch, tag, `refs/pr/N` or commit |
| `--hf-endpoint` | HF_ENDPOINT | a mirror or an on-premises hub, path prefix included |
| `--hf-offline` | HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE | forbids every connection to the hub |
"""

import os
from pathlib import Path

import attrs

from dfly import Secret, option

_TRUE = ("1", "ON", "YES", "TRUE")


def is_true(value: str | None) -> bool:
    """Whether the hub's tools read `value` as true."""
    return (value or "").strip().upper() in _TRUE


def stored_token() -> str | None:
    """The token that `hf auth login` left on this machine; None where there is none or its use is disabled."""
    env = os.environ
    if is_true(env.get("HF_HUB_DISABLE_IMPLICIT_TOKEN")):
        return None
    cache = env.get("XDG_CACHE_HOME") or "~/.cache"
    home = env.get("HF_HOME") or f"{cache}/huggingface"
    file = Path(env.get("HF_TOKEN_PATH") or f"{home}/token").expanduser()
    try:
        return file.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


# no repr: an endpoint may hold a password
@attrs.frozen(kw_only=True, repr=False)
class HfSettings:
    """Options of `hf://`."""

    token: Secret | None = option(
        None,
        help="access token; also read from the file that `hf auth login` writes",
        env=("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
        secret=True,
        travels=True,
        fallback=stored_token,
    )
    revision: str | None = option(None, help="branch, tag, refs/pr/N or commit hash (default: main)")
    endpoint: str = option(
        "https://huggingface.co", help="where the hub is, path prefix included", env=("HF_ENDPOINT",), endpoint=True
    )
    offline: str = option(
        "", help="1 forbids every connection to the hub", env=("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"), travels=False
    )
