"""Tokens of a cluster and of its operators, from files and the environment."""

import os
from pathlib import Path

from dfly.backend import Secret
from dfly.errors import UsageError


def secret_from(file: Path | None, variable: str, *, what: str) -> Secret | None:
    """What `file` holds, else the environment's `variable`; None where neither has any. `what` names it in messages.

    Raises UsageError for a file that cannot be read, or holds nothing.
    """
    # no flag of its own: other users of the machine can read what is in argv
    try:
        text = file.read_text() if file is not None else os.environ.get(variable, "")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read as a {what}: {error}") from error
    if file is not None and not text.strip():
        raise UsageError(f"{file} is empty", hint=f"put the {what} there, one line")
    return Secret(text) if text.strip() else None
