"""Looks again at a published segment that a node got wrong bytes of, and mends what the disk has changed since.

The segment is kept back from the web seed meanwhile. It is mended in place, piece by piece, and only with bytes that have the
hashes that were published: a node that reads at the same time gets right bytes, or wrong ones that it refuses. So nobody has to
be told, and one flipped bit costs the hub one piece and not the blob.
"""

import threading
import time
from collections.abc import Callable

import structlog

from dfly.errors import DflyError, OutputError
from dfly.seed.intake import Intake
from dfly.seed.mending import Suspect, mend, wrong_pieces
from dfly.seed.publication import Publication, as_dfly

#: Seconds in which the same segment is not looked at twice: any node may ask for it.
PAUSE = 5.0
_PRIORITY = 0

_log = structlog.get_logger()


class Repairs:
    """What is being looked at. `later(step)` runs a step in another thread.

    `lost(publication, error)` is told what cannot be mended.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        later: Callable[[Callable[[], None]], None],
        lost: Callable[[Publication, DflyError], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._intake, self._later, self._lost, self._clock = intake, later, lost, clock
        self._lock = threading.Lock()
        self._looked: dict[tuple[str, int], float] = {}

    def allowed(self, blob: str, index: int) -> bool:
        """Whether it is time to look at this segment; if so, it is not for a while."""
        now = self._clock()
        with self._lock:
            self._looked = {segment: at for segment, at in self._looked.items() if now - at < PAUSE}
            return self._looked.setdefault((blob, index), now) == now

    def look(self, suspect: Suspect) -> None:
        """Read the segment, and order anew what is not as it was published. Blocks while it reads."""
        wrong = wrong_pieces(suspect)
        if not wrong:
            _log.info("segment.intact", blob=suspect.publication.blob, segment=suspect.index)
            suspect.publication.show(suspect.index)  # an earlier repair may have got as far and failed
            return
        mend(
            {suspect: wrong},
            intake=self._intake,
            priority=_PRIORITY,
            finished=lambda error: self._later(lambda: self._finished(suspect, error)),
        )

    def _finished(self, suspect: Suspect, error: BaseException | None) -> None:
        publication, index = suspect.publication, suspect.index
        if error is None and not wrong_pieces(suspect):
            _log.warning("segment.repaired", blob=publication.blob, segment=index)
            publication.show(index)
            return
        why = error or OutputError(f"{publication.path}: the disk does not keep what is written to it")
        self._lost(publication, as_dfly(why, suspect.entry.path))
