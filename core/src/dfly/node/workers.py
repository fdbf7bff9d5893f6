"""The threads that hash, verify and talk for a task, whose results come back to the one thread that owns its state."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import attrs

from dfly.errors import SwarmError


@attrs.frozen
class Done:
    """A worker's result, to be handled by the owner of the state."""

    _handle: Callable[[Any], None]
    _result: "Future[Any]"

    def handle(self) -> None:
        """Hand the result on; raise what the job raised. A seed peer that is away is not said here: the stream tells."""
        if self._result.cancelled() or isinstance(self._result.exception(), SwarmError):
            return
        self._handle(self._result.result())


class Workers:
    """`put` gets a `Done` for each job."""

    def __init__(self, put: Callable[[Done], None]) -> None:
        self._put = put
        # one hasher, because a blob's digests advance in order; talkers, because a report must not wait for a hash
        self._hasher = ThreadPoolExecutor(1, thread_name_prefix="dfly-hash")
        self._talkers = ThreadPoolExecutor(2, thread_name_prefix="dfly-report")

    def hash(self, handle: Callable[[Any], None], job: Callable[..., Any], *args: Any) -> None:
        """Do `job(*args)` after all earlier hashing, then `handle` its result in the owner's thread."""
        self._submit(self._hasher, handle, job, *args)

    def talk(self, handle: Callable[[Any], None], job: Callable[..., Any], *args: Any) -> None:
        """Do `job(*args)`, which speaks to a seed peer, then `handle` its result in the owner's thread."""
        self._submit(self._talkers, handle, job, *args)

    def _submit(
        self, pool: ThreadPoolExecutor, handle: Callable[[Any], None], job: Callable[..., Any], *args: Any
    ) -> None:
        pool.submit(job, *args).add_done_callback(lambda result: self._put(Done(handle, result)))

    def close(self) -> None:
        """Wait for the hash that is being computed, and for nothing else."""
        self._hasher.shutdown(wait=True, cancel_futures=True)
        self._talkers.shutdown(wait=False, cancel_futures=True)
