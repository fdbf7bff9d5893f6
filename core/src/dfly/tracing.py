"""Traces of tasks, by OpenTelemetry where that is installed and asked for; else nothing, at no cost.

    dfly.fetch ─┬─ dfly.resolve ─── dfly.seed.resolve       the seed peer's part: it is told the parent in `traceparent`
                ├─ dfly.blob …      dfly.seed.blob …
                └─ dfly.errand ─┬─ dfly.resolve             the daemon's part, where one was asked
                                └─ dfly.blob …

Nothing of OpenTelemetry is imported before `from_environment` finds its usual OTEL_ variables, or a provider is given. What a
task tells (`dfly.events`) makes the spans of its blobs, so that nobody who moves bytes knows of them.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import attrs

from dfly.events import (
    BytesArrived,
    Event,
    FileStarted,
    FileVerified,
    Listener,
    Retrying,
    SegmentFinished,
    Stalled,
    TaskFinished,
    Warned,
)
from dfly.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

HEADER = "traceparent"
#: Any of these says where traces go.
_WANTED = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")

Value = str | int | float | bool | None

#: The `traceparent` of the span that this thread or coroutine is in. A context is what it is to be: nobody else's.
_CURRENT: ContextVar[str] = ContextVar("dfly-traceparent", default="")


class Span(Protocol):
    """Something that takes a while."""

    @property
    def traceparent(self) -> str:
        """What makes other spans its children, in another process too; "" where nothing is traced."""

    def set(self, **attributes: Value) -> None:
        """Say more about it. None says nothing."""

    def note(self, name: str, **attributes: Value) -> None:
        """Something happened meanwhile."""

    def end(self, error: BaseException | None = None) -> None:
        """It is over, well or with an error."""


class Traces(Protocol):
    """Makes spans. `on`: whether anybody will see them."""

    @property
    def on(self) -> bool:
        """Whether it is worth to say anything."""

    def begin(self, name: str, *, parent: str = "", **attributes: Value) -> Span:
        """A span, below the one with the `traceparent` `parent` ("": below the one that the caller is in)."""


class _Nothing:
    """A span of which nobody hears, and what makes it."""

    on = False
    traceparent = ""

    def begin(self, name: str, *, parent: str = "", **attributes: Value) -> Span:  # noqa: ARG002 - see Traces
        """See Traces."""
        return self

    def set(self, **attributes: Value) -> None:
        """See Span."""

    def note(self, name: str, **attributes: Value) -> None:
        """See Span."""

    def end(self, error: BaseException | None = None) -> None:
        """See Span."""


NO_TRACES: Traces = _Nothing()


def current() -> str:
    """The `traceparent` of the span that the caller is in; "" outside of all."""
    return _CURRENT.get()


@contextmanager
def below(parent: str) -> Iterator[None]:
    """What is begun in the block is below the span with this `traceparent`."""
    token = _CURRENT.set(parent)
    try:
        yield
    finally:
        _CURRENT.reset(token)


@contextmanager
def within(span: Span) -> Iterator[Span]:
    """The block is what the span is about."""
    with below(span.traceparent):
        try:
            yield span
        except BaseException as error:
            span.end(error)
            raise
    span.end()


@contextmanager
def from_environment(service: str, environment: Mapping[str, str] = os.environ) -> Iterator[Traces]:
    """Traces as the OTEL_ variables say, sent out at the end of the block at the latest.

    Where they ask for what is not installed, a warning: clusters set them for whatever runs there.
    """
    if not _asked_for(environment):
        yield NO_TRACES
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        logging.getLogger(__name__).warning(
            "OTEL_ variables ask for traces, and %s is not installed: pip install 'dfly-core[otel]', "
            "or set OTEL_SDK_DISABLED=true",
            error.name,
        )
        yield NO_TRACES
        return
    named = environment.get("OTEL_SERVICE_NAME") or service
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: named}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        with below(environment.get("TRACEPARENT", "")):
            yield traces_of(provider)
    finally:
        provider.shutdown()


def traces_of(provider: "TracerProvider") -> Traces:
    """Traces into a provider of the caller's."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return _Open(tracer=provider.get_tracer("dfly", VERSION), propagator=TraceContextTextMapPropagator())


class TaskSpans:
    """A listener between a task and `listener`: `span` is the task's, and each blob that arrives gets one below it.

    A context manager; what it has begun ends with the block.
    """

    def __init__(self, traces: Traces, span: Span, listener: Listener) -> None:
        self._traces, self._span, self._listener = traces, span, listener
        self._blobs: dict[str, _Blob] = {}
        self._token: Token[str] | None = None

    def __enter__(self) -> Self:
        self._token = _CURRENT.set(self._span.traceparent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _CURRENT.reset(self._token)
        for blob in self._blobs.values():
            blob.end(error)
        self._span.end(error)

    def __call__(self, event: Event) -> None:
        """Hear, and pass on."""
        if self._traces.on:
            self._hear(event)
        self._listener(event)

    def _hear(self, event: Event) -> None:
        match event:
            case FileStarted(path=path):
                if path not in self._blobs:
                    begun = self._traces.begin(
                        "dfly.blob", parent=self._span.traceparent, path=path, bytes=event.bytes, had=event.had
                    )
                    self._blobs[path] = _Blob(begun)
            case BytesArrived(path=path) if path in self._blobs:
                self._blobs[path].sources[event.source] += event.bytes
            case SegmentFinished(path=path) if path in self._blobs:
                self._blobs[path].segments += 1
            case FileVerified(path=path) if path in self._blobs:
                self._blobs.pop(path).end(verified=event.digest or "by size only")
            case Retrying() | Stalled():
                self._span.note(event.name, path=event.path, cause=event.cause)
            case Warned():
                self._span.note(event.name, message=event.message)
            case TaskFinished():
                self._span.set(files=event.files, bytes=event.bytes, skipped=event.skipped, **_by_source(event.sources))


@attrs.define
class _Blob:
    span: Span
    sources: Counter[str] = attrs.field(factory=Counter)
    segments: int = 0

    def end(self, error: BaseException | None = None, *, verified: str = "") -> None:
        self.span.set(segments=self.segments, verified=verified or None, **_by_source(self.sources))
        self.span.end(error)


def _by_source(sources: Mapping[str, int]) -> dict[str, Value]:
    return {f"bytes.{source}": count for source, count in sources.items()}


def _asked_for(environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp") not in ("", "otlp"):
        return False
    return any(environment.get(name) for name in _WANTED)


@attrs.frozen(kw_only=True)
class _Open:
    """Spans of OpenTelemetry."""

    tracer: Any
    propagator: Any
    on: bool = True

    def begin(self, name: str, *, parent: str = "", **attributes: Value) -> Span:
        """See Traces."""
        parent = parent or current()
        context = self.propagator.extract({HEADER: parent}) if parent else None
        return _OpenSpan(self.tracer.start_span(name, context=context, attributes=_named(attributes)))


@attrs.frozen
class _OpenSpan:
    _span: Any

    @property
    def traceparent(self) -> str:
        """See Span."""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def set(self, **attributes: Value) -> None:
        """See Span."""
        self._span.set_attributes(_named(attributes))

    def note(self, name: str, **attributes: Value) -> None:
        """See Span."""
        self._span.add_event(name, _named(attributes))

    def end(self, error: BaseException | None = None) -> None:
        """See Span."""
        if error is not None:
            from opentelemetry.trace import Status, StatusCode

            # not the traceback: it may hold what a message never does
            self._span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        self._span.end()


def _named(attributes: Mapping[str, Value]) -> dict[str, Any]:
    return {f"dfly.{name}": value for name, value in attributes.items() if value is not None}
