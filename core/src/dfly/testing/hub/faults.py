"""What can go wrong with an answer, said beforehand: `hub.fault("cdn", "*.safetensors", cut=1000)`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import attrs

from dfly.testing.hub.records import Call


@attrs.define(kw_only=True)
class Fault:
    """One fault. `where` is a `Call.kind` (or "api" for all of them), `match` a pattern on the path asked for.

    It happens `times` times (None is for ever) after `after` calls that it leaves alone. Fields left alone keep the
    answer as it would be.
    """

    where: str
    match: str = "*"
    times: int | None = 1
    after: int = 0
    #: Answer with this status and `body` instead.
    status: int | None = None
    body: bytes = b""
    #: Changes the JSON object of an API answer, on hubs that wrap theirs in one.
    edit: Callable[[dict[str, Any]], object] | None = None
    #: Added to the answer; a value of "" takes a header away (without Content-Length a file is sent chunked).
    headers: Mapping[str, str] = attrs.field(factory=dict)
    #: Close the connection after so many bytes of the body.
    cut: int | None = None
    #: Send so many bytes less, with a Content-Length that agrees.
    shorten: int = 0
    #: Change the first byte of the body.
    flip: bool = False
    #: Ignore Range: 200 and the whole file.
    whole: bool = False
    #: Compress although it was not asked for.
    gzip: bool = False


class Faults:
    """The faults that are still to happen. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Have one happen, after those added before it."""
        with self._lock:
            self._left.append(fault)

    def take(self, call: Call, *, api: bool) -> Fault:
        """The fault that happens to this call (`api`: one of the API's); one that changes nothing where none does."""
        with self._lock:
            for fault in self._left:
                here = fault.where == call.kind or (api and fault.where == "api")
                if not here or not fnmatchcase(call.path, fault.match):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._left.remove(fault)
                return fault
        return Fault(where=call.kind)
