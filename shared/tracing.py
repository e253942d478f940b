"""One trace through a job: each step knows the step before it, and tells the next.

The context always travels and stands on every log line. Spans are recorded only where a collector
is named; without one no library is loaded for it (``docs/decisions/0023``).
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import datetime
from threading import Thread
from typing import TYPE_CHECKING, Literal, Protocol

from shared.domain.trace import read_traceparent
from shared.errors import Misconfigured
from shared.observability import UNDER_WAY, redacted

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Attributes = Mapping[str, str | int | float | bool | None]

WORDS_KEPT = 300
FLUSH_WITHIN_S = 3.0


class Step:
    """A step that is under way. ``traceparent`` is its own context, for whoever goes on with it."""

    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent

    def failed(self, error: BaseException) -> None:
        """Say that it did not succeed; one that is left by an exception says so itself."""


class Recorder(Protocol):
    """Whoever keeps spans; there is none while tracing is off."""

    def span(
        self,
        name: str,
        kind: Kind,
        parent: str | None,
        attributes: Attributes,
        began_at: datetime | None,
    ) -> AbstractContextManager[Step]:
        """Record the block as a span below ``parent``; None: as the first of a trace."""


_recorder: Recorder | None = None


def is_on() -> bool:
    """Whether spans are recorded."""
    return _recorder is not None


def current() -> str | None:
    """The context of the step that is under way here."""
    return UNDER_WAY.get()


@contextmanager
def step(
    name: str,
    *,
    kind: Kind = "internal",
    parent: str | None = None,
    attributes: Attributes | None = None,
    began_at: datetime | None = None,
) -> Iterator[Step]:
    """A step that others may follow: below ``parent``, else below the one that is under way, else
    the first of a new trace.

    While tracing is off the context of the step before is passed on as it is.
    """
    with _stepping(
        name, kind, read_traceparent(parent) or UNDER_WAY.get(), attributes or {}, began_at
    ) as own:
        token = UNDER_WAY.set(own.traceparent)
        try:
            yield own
        finally:
            UNDER_WAY.reset(token)


@contextmanager
def steps(
    name: str, parents: Iterable[str | None], *, kind: Kind, attributes: Attributes
) -> Iterator[list[Step]]:
    """Steps that are taken together, each in the trace of its own parent; none of them is the one
    that is under way."""
    with ExitStack() as together:
        yield [
            together.enter_context(
                _stepping(name, kind, read_traceparent(parent), attributes, None)
            )
            for parent in parents
        ]


@contextmanager
def going_on(traceparent: str | None) -> Iterator[None]:
    """What is done in the block belongs to the step that ``traceparent`` names."""
    token = UNDER_WAY.set(read_traceparent(traceparent))
    try:
        yield
    finally:
        UNDER_WAY.reset(token)


@contextmanager
def detail(name: str, kind: Kind = "internal", **attributes: str | int | None) -> Iterator[None]:
    """A part of a step that is worth its time in the trace, and begins none of its own."""
    if _recorder is None or UNDER_WAY.get() is None:
        yield
        return
    with step(name, kind=kind, attributes=attributes):
        yield


def _stepping(
    name: str,
    kind: Kind,
    parent: str | None,
    attributes: Attributes,
    began_at: datetime | None,
) -> AbstractContextManager[Step]:
    if _recorder is None:
        return nullcontext(Step(parent or _begun()))
    return _recorder.span(name, kind, parent, attributes, began_at)


def _begun() -> str:
    # Not sampled: nobody keeps its steps, and whoever takes it up need not either.
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


class OpenTelemetry:
    """Spans by OpenTelemetry's SDK."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry import trace

        self._tracer = provider.get_tracer("darkroom")
        self._kinds = {kind.name.lower(): kind for kind in trace.SpanKind}

    @contextmanager
    def span(
        self,
        name: str,
        kind: Kind,
        parent: str | None,
        attributes: Attributes,
        began_at: datetime | None,
    ) -> Iterator[Step]:
        from opentelemetry import context, trace

        span = self._tracer.start_span(
            name,
            context=_remote(parent),
            kind=self._kinds[kind],
            attributes={key: value for key, value in attributes.items() if value is not None},
            start_time=None if began_at is None else int(began_at.timestamp() * 1e9),
        )
        # Also where other instruments look for it, if somebody has put any in.
        token = context.attach(trace.set_span_in_context(span))
        own = _Recorded(span)
        try:
            yield own
        except BaseException as error:
            own.failed(error)
            raise
        finally:
            context.detach(token)
            span.end()


class _Recorded(Step):
    __slots__ = ("_span",)

    def __init__(self, span: "Span") -> None:
        about = span.get_span_context()
        super().__init__(f"00-{about.trace_id:032x}-{about.span_id:016x}-{about.trace_flags:02x}")
        self._span = span

    def failed(self, error: BaseException) -> None:
        from opentelemetry.trace.status import Status, StatusCode

        words = redacted(f"{type(error).__name__}: {error}")[:WORDS_KEPT]
        self._span.set_status(Status(StatusCode.ERROR, words))


def _remote(traceparent: str | None) -> "Context":
    from opentelemetry import trace
    from opentelemetry.context import Context

    if traceparent is None:
        return Context()  # an empty one: nothing of what happens to be under way
    _, trace_id, span_id, flags = traceparent.split("-")
    remote = trace.SpanContext(
        trace_id=int(trace_id, 16),
        span_id=int(span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(int(flags, 16)),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), Context())


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Record every span of this process with ``recorder`` for as long as the block lasts."""
    global _recorder  # noqa: PLW0603 - one for the process, as with logs
    before, _recorder = _recorder, recorder
    try:
        yield
    finally:
        _recorder = before


def export_to(endpoint: str | None, *, service: str, share: float) -> Callable[[], None]:
    """Record spans and send them to the collector at ``endpoint`` (OTLP over HTTP; None: nothing is
    recorded). ``share`` is the part of the traces beginning here that is kept. What comes back
    sends what is left, within three seconds.

    The exporter reads further ``OTEL_EXPORTER_OTLP_*`` variables (headers, certificate) itself.
    Raises Misconfigured where the libraries are not installed.
    """
    global _recorder  # noqa: PLW0603 - one for the process, as with logs
    if endpoint is None:
        return lambda: None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
    except ImportError as error:
        raise Misconfigured(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and the libraries for it are not installed: "
            "pip install 'darkroom[tracing]'"
        ) from error
    provider = TracerProvider(
        resource=Resource.create({"service.name": f"darkroom-{service}"}),
        sampler=ParentBasedTraceIdRatio(share),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _recorder = OpenTelemetry(provider)

    def ended() -> None:
        # In a thread of its own: a collector that is away must not keep a service from its end.
        sending = Thread(target=provider.shutdown, daemon=True)
        sending.start()
        sending.join(FLUSH_WITHIN_S)

    return ended
