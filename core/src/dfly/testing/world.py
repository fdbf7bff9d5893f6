"""What the conformance kit must know about the origin under test: what is at which URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from dfly.backend import Backend

__all__ = ["World"]


@attrs.frozen(kw_only=True)
class World:
    """The origin as the test set it up. What is left out is not tested.

    `content` should have 10,000 bytes or more, no two stretches alike, so that a range from the wrong place is noticed.
    """

    #: The URL of one file, and its bytes.
    file: str
    content: bytes
    #: A URL where no file is, though what should hold it exists.
    missing: str
    #: URLs of repositories, folders, prefixes → everything below each: relative path → bytes. One may be empty.
    trees: Mapping[str, Mapping[str, bytes]] = attrs.field(factory=dict)
    #: A URL whose repository (or bucket) does not exist, and one whose revision does not.
    missing_repository: str | None = None
    missing_revision: str | None = None
    #: The URL of a file of no bytes.
    empty: str | None = None
    #: Other URLs of `file`, as other callers would have them: signed or written otherwise, with other user-info.
    same: tuple[str, ...] = ()
    #: A URL that the backend's own credentials do not open.
    denied: str | None = None
    #: A second backend, whose credentials do not open `file`.
    stranger: Backend | None = None
    #: Every secret that the backend was given or can learn: tokens, passwords, signatures.
    secrets: tuple[str, ...] = ()
    #: Puts other bytes of the same length at `file` and returns them.
    change: Callable[[], bytes] | None = None
    #: A URL that may be written to, for backends with `put`.
    writable: str | None = None
    #: False where the origin cannot begin in the middle of a file.
    ranges: bool = True
