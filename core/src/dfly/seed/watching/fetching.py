"""The spans of a task's blobs at the seed peer: each from when somebody wanted it until all of it was here, or never will be."""

import attrs

from dfly.errors import DflyError
from dfly.tracing import NO_TRACES, Span, Traces


@attrs.define(eq=False)
class _Under:
    span: Span
    segments: int = 0


@attrs.define(eq=False)
class Fetching:
    """One for each task. Used from the event loop only."""

    traces: Traces = NO_TRACES
    _under: dict[str, _Under] = attrs.field(factory=dict)

    def begin(self, blob: str, size: int | None) -> None:
        """Somebody wants a blob that is not known to be here. Below the span that the caller is in."""
        if self.traces.on and blob not in self._under:
            self._under[blob] = _Under(self.traces.begin("dfly.seed.blob", blob=blob, bytes=size))

    def segment(self, blob: str) -> None:
        """One more segment can be had."""
        if blob in self._under:
            self._under[blob].segments += 1

    def withdrawn(self, blob: str) -> None:
        """What came was wrong; it is fetched again."""
        if blob in self._under:
            self._under[blob].span.note("withdrawn")

    def complete(self, blob: str, size: int) -> None:
        """All of it is here, and right. One that was here before has no segments to tell."""
        self._end(blob, None, bytes=size, verified=True)

    def failed(self, blob: str, error: DflyError) -> None:
        """It cannot be had."""
        self._end(blob, error)

    def close(self) -> None:
        """Nobody wants them any more."""
        for blob in list(self._under):
            self._end(blob, None)

    def _end(self, blob: str, error: DflyError | None, **said: int | bool) -> None:
        under = self._under.pop(blob, None)
        if under is not None:
            under.span.set(segments=under.segments, **said)
            under.span.end(error)
