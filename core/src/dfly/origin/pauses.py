"""How long an origin asked not to be asked: one pause per origin, shared by every worker, so none makes it worse."""

import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from dfly.config import Patience
from dfly.errors import Cancelled, RateLimited


class Paused(RateLimited):
    """Nothing was sent: a pause that another worker was asked for is not over."""


class Pauses:
    """The pauses of all origins (`scheme://host:port`). Thread-safe. Times in seconds.

    `longest` is what an origin may ask for at most; `clock` is monotonic.
    """

    def __init__(
        self, *, longest: float = Patience().longest_pause, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._longest = longest
        self._clock = clock
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def pause(self, origin: str, seconds: float) -> None:
        """Let nobody ask `origin` for `seconds` from now. Raises RateLimited where that is longer than is bearable."""
        if seconds > self._longest:
            raise RateLimited(
                f"{origin} wants no request for {seconds:.0f} s, longer than the {self._longest:.0f} s dfly waits",
                after=seconds,
                hint="try again later, or with a token that has a higher quota",
                url=origin,
            )
        now = self._clock()
        with self._lock:
            self._until = {name: until for name, until in self._until.items() if until > now}
            self._until[origin] = max(self._until.get(origin, 0.0), now + seconds)

    def remaining(self, origin: str) -> float:
        """Seconds until `origin` may be asked again; 0 where it may now."""
        return max(0.0, self._until.get(origin, 0.0) - self._clock())

    def wait(self, origin: str, cancel: threading.Event | None = None) -> None:
        """Return when `origin` may be asked. Raises Cancelled as soon as `cancel` is set."""
        while (left := self.remaining(origin)) > 0:
            if cancel is None:
                time.sleep(left)
            elif cancel.wait(left):
                raise Cancelled


def asked_pause(headers: Mapping[str, str], *, now: Callable[[], float] = time.time) -> float | None:
    """The seconds that a refusal's headers ask for, or None where they do not say.

    A `RateLimit` policy with nothing left (`"resolvers";r=0;t=55`) counts, one with something left does not; else
    `Retry-After`, in seconds or as a date, which is read against the origin's own `Date`.
    """
    exhausted = [
        asked for policy in headers.get("ratelimit", "").split(",") if (asked := _exhausted(policy)) is not None
    ]
    if exhausted:
        return max(exhausted) + 1.0
    after = headers.get("retry-after", "").strip()
    if not after:
        return None
    try:
        return max(0.0, float(after))
    except ValueError:
        date = _unix(after)
    if date is None:
        return None
    here = _unix(headers.get("date", ""))
    return max(0.0, date - (now() if here is None else here))


def _exhausted(policy: str) -> float | None:
    fields = dict(field.strip().partition("=")[::2] for field in policy.split(";")[1:])
    try:
        return max(0.0, float(fields["t"])) if float(fields["r"]) == 0 else None
    except (KeyError, ValueError):
        return None


def _unix(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
