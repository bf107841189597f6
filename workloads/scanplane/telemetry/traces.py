"""Traces follow batches, never events: from the provider's socket to the gateway's clients.

The listener decides for each batch, by one random number, whether it is traced. An untraced batch carries an empty
``traceparent`` and costs every role one comparison. A traced one carries the W3C trace context of the listener's span,
and whoever works on the batch makes a child of it::

    listener.publish → analyzer.apply → analyzer.evaluate → cache.write → gateway.publish

The decision is made before OpenTelemetry is asked, since its own sampler costs some 10 µs per refusal.
"""

import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry import trace
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    format_span_id,
    format_trace_id,
)

__all__ = ["UNTRACED", "BatchTraces", "traceparent_of"]

UNTRACED = ""
"""The ``traceparent`` of a batch that is not traced."""

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NOTHING: AbstractContextManager[Span] = nullcontext(INVALID_SPAN)

Attributes = Mapping[str, str | int | float | bool]


def traceparent_of(span: Span) -> str:
    """Return the W3C ``traceparent`` of *span*, or :data:`UNTRACED` if it is not recorded."""
    context = span.get_span_context()
    if not context.is_valid or not context.trace_flags.sampled:
        return UNTRACED
    return f"00-{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}-{context.trace_flags:02x}"


def _parent(traceparent: str) -> SpanContext | None:
    """Return the remote context that *traceparent* names, or None if it names none or an unsampled one."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in match.groups())
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid and context.trace_flags.sampled else None


class BatchTraces:
    """Starts and continues the traces of batches.

    *tracer* must record every span that it is asked for: *ratio* alone decides, 0 for none to 1 for all.
    """

    def __init__(self, tracer: Tracer, ratio: float) -> None:
        self._tracer = tracer
        self._ratio = ratio
        self._random = random.Random().random  # noqa: S311  # a sample, not a secret

    def batch_context(
        self, name: str = "listener.publish", *, start_ns: int | None = None, attributes: Attributes | None = None
    ) -> str:
        """Decide whether a batch is traced, and return its ``traceparent``.

        The span of a traced batch covers the time from *start_ns* (UTC; when its first event was received) to now.
        """
        if self._random() >= self._ratio:
            return UNTRACED
        span = self._tracer.start_span(name, kind=SpanKind.PRODUCER, start_time=start_ns, attributes=attributes)
        span.end()
        return traceparent_of(span)

    def span_from(
        self, traceparent: str, name: str, *, start_ns: int | None = None, attributes: Attributes | None = None
    ) -> AbstractContextManager[Span]:
        """Return a context manager around a child span of *traceparent*; it does nothing if that is untraced.

        An exception that leaves the context is recorded and goes on. What stands in *traceparent* came over a wire:
        anything that is no valid context counts as untraced.
        """
        if not traceparent:
            return _NOTHING
        parent = _parent(traceparent)
        return _NOTHING if parent is None else self._child(parent, name, start_ns, attributes)

    def record_span(self, traceparent: str, name: str, start_ns: int, *, attributes: Attributes | None = None) -> str:
        """Record a child span from *start_ns* (UTC) to now, and return its ``traceparent`` for the next to continue."""
        parent = _parent(traceparent) if traceparent else None
        if parent is None:
            return UNTRACED
        context = trace.set_span_in_context(NonRecordingSpan(parent))
        span = self._tracer.start_span(name, context, start_time=start_ns, attributes=attributes)
        span.end(time.time_ns())
        return traceparent_of(span)

    @contextmanager
    def _child(
        self, parent: SpanContext, name: str, start_ns: int | None, attributes: Attributes | None
    ) -> Iterator[Span]:
        context = trace.set_span_in_context(NonRecordingSpan(parent))
        span = self._tracer.start_span(name, context, start_time=start_ns, attributes=attributes)
        try:
            yield span
        except Exception as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            span.end()
