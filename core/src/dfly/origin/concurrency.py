"""How many connections: as many as still make it faster.

Pure logic, no threads and no I/O. Somebody reports the bytes so far, now and then; a *window* is the stretch between
two looks. Each step up is measured after one window for the new connection to get going, and taken back if the rate
has not risen. An origin that says it has enough halves the number.
"""

import time
from collections.abc import Callable

START = 4
WINDOW = 0.4
REST = 8.0
_RISE, _FALL = 1.04, 0.8


class Concurrency:
    """The adaptive limit. `allowed` starts at 4 or `most`, and stays between 1 and `most`.

    `clock` in seconds. Not thread-safe: the caller holds its own lock.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        if most < 1:
            raise ValueError("concurrency must be at least 1")
        self._most = most
        self._clock = clock
        self._allowed = min(START, most)
        self._since, self._total = clock(), 0
        self._before: float | None = None
        self._probing = self._settling = False
        self._rest_until = 0.0
        self._halved_at = clock() - WINDOW

    @property
    def allowed(self) -> int:
        """How many connections may be busy now."""
        return self._allowed

    def observe(self, total: int, *, busy: int) -> None:
        """`total` bytes have arrived so far, and `busy` connections are at it. Cheap between windows."""
        now = self._clock()
        elapsed = now - self._since
        if elapsed < WINDOW:
            return
        rate = (total - self._total) / elapsed
        self._since, self._total = now, total
        if busy < self._allowed:
            # there is less to do than we may do: the rate says nothing about one connection more
            self._before, self._probing = None, False
        elif self._settling:
            self._settling = False
        elif self._probing:
            self._judge(rate, now)
        elif self._before is not None and rate < self._before * _FALL and self._allowed > min(START, self._most):
            self._step_back(now)
            self._before = rate
        else:
            self._before = rate
            self._step_up(now)

    def congested(self) -> None:
        """The origin refused for load. Halves the limit, once per window however many workers say so."""
        now = self._clock()
        if now - self._halved_at < WINDOW:
            return
        self._halved_at = now
        self._allowed = max(1, self._allowed // 2)
        self._before, self._probing, self._settling = None, False, False
        self._rest_until = now + REST

    def _judge(self, rate: float, now: float) -> None:
        self._probing = False
        if self._before is None or rate > self._before * _RISE:
            self._before = rate
            self._step_up(now)
        else:
            self._step_back(now)

    def _step_up(self, now: float) -> None:
        if self._allowed < self._most and now >= self._rest_until:
            self._allowed += 1
            self._probing = self._settling = True

    def _step_back(self, now: float) -> None:
        self._allowed -= 1
        self._settling = True
        self._rest_until = now + REST
