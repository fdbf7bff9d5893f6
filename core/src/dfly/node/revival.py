"""Errors that another process has told of, raised here as if they had happened here.

Seed peers, daemons and nodes tell an error by its name, its message and its fields; what this version has no name for is a
SwarmError. So whoever catches NotFound or AccessDenied need not know who has met it.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from dfly import errors
from dfly.errors import DflyError, SwarmError

#: What an error says of itself where the other process did not.
_UNTOLD = {"url": "", "kind": "file", "path": "", "algorithm": "", "expected": "", "actual": ""}


def revive(name: str, message: str, hint: str, fields: Mapping[str, Any] | None = None) -> DflyError:
    """The error that another process named, as if raised here; `fields` are its own ones, as far as they were told."""
    kind = getattr(errors, name, SwarmError)
    # Cancelled is what this machine's user did, never what a seed peer says
    if not (isinstance(kind, type) and issubclass(kind, DflyError)) or issubclass(kind, errors.Cancelled):
        kind = SwarmError
    error: DflyError = kind.__new__(kind, message)
    DflyError.__init__(error, message, hint=hint)
    told = fields or {}
    for field in inspect.signature(kind).parameters:
        if field not in ("message", "hint"):
            value = told.get(field, _UNTOLD.get(field))
            setattr(error, field, tuple(value) if isinstance(value, list) else value)
    return error
