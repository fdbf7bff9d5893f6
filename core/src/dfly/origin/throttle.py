"""One speed limit shared by all workers: a token bucket that goes into debt, so a chunk is paid for afterwards."""

import threading
import time
from collections.abc import Callable

from dfly.errors import Cancelled

_BURST = 0.1


class Throttle:
    """At most `bytes_per_second` over any stretch longer than a tenth of a second. Thread-safe."""

    def __init__(self, bytes_per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        if bytes_per_second <= 0:
            raise ValueError("a speed limit must be above 0 bytes/s")
        self._rate = bytes_per_second
        self._clock = clock
        self._paid_until = clock()
        self._lock = threading.Lock()

    def take(self, n: int, cancel: threading.Event) -> None:
        """Account for `n` bytes and wait until they are paid for. Raises Cancelled as soon as `cancel` is set."""
        with self._lock:
            now = self._clock()
            self._paid_until = max(self._paid_until, now - _BURST) + n / self._rate
            wait = self._paid_until - now
        if wait > 0 and cancel.wait(wait):
            raise Cancelled
