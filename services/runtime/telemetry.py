"""What a process tells those who run it: log lines, and spans when tracing is switched on."""

import atexit
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from importlib import import_module
from typing import Self, TextIO

import msgspec
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.runtime.clock import rfc3339

logger = logging.getLogger(__name__)

Attribute = str | int | float | bool

_NO_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_TOO_CHATTY = ("asyncio", "httpx", "httpcore", "kafka", "uvicorn.access")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_LAST_SPANS_TIMEOUT_S = 1.0
_propagator = TraceContextTextMapPropagator()


def configure_logging(
    service: str, role: str, *, level: str = "INFO", out: TextIO | None = None
) -> None:
    """Send every log line of the process to stderr: JSON, or text when a person is watching."""
    out = out or sys.stderr
    handler = logging.StreamHandler(out)
    handler.setFormatter(_TextLines() if out.isatty() else _JsonLines(service, role))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _TOO_CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


class _JsonLines(logging.Formatter):
    """One JSON object a line; what a call passes as ``extra`` are members of it."""

    def __init__(self, service: str, role: str) -> None:
        super().__init__()
        self._origin = {"service": service, "role": role}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            **self._origin,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info and record.exc_info[1]:
            line["error"] = "".join(traceback.format_exception(record.exc_info[1]))
        return msgspec.json.encode(line, enc_hook=str).decode()


class _TextLines(logging.Formatter):
    """The same for a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        fields = "".join(f"  {name}={value}" for name, value in _fields(record).items())
        return super().formatMessage(record) + fields


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _NO_FIELDS}


class Span:
    """A stretch of work; ``traceparent`` (W3C) is what to hand on to the next hop, if anything.

    With tracing off, which is the default, only the caller's trace goes through: others may follow
    a purchase even where we do not.
    """

    __slots__ = ("_recorded", "traceparent")

    def __init__(self, traceparent: str | None, recorded: trace.Span | None = None) -> None:
        self.traceparent = traceparent
        self._recorded = recorded

    def set(self, **attributes: Attribute) -> None:
        """Note what became known on the way."""
        if self._recorded is not None:
            self._recorded.set_attributes(attributes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class _Tracing:
    """Of the process, as logging is."""

    tracer: trace.Tracer | None = None


def span(
    name: str, *, parent: str | None = None, **attributes: Attribute
) -> AbstractContextManager[Span]:
    """Trace what happens within; costs less than a microsecond when tracing is off.

    Without ``parent`` the span that is open around it is the parent.
    """
    tracer = _Tracing.tracer
    return Span(parent) if tracer is None else _recorded(tracer, name, parent, attributes)


@contextmanager
def _recorded(
    tracer: trace.Tracer, name: str, parent: str | None, attributes: dict[str, Attribute]
) -> Iterator[Span]:
    context = _propagator.extract({"traceparent": parent}) if parent else None
    with tracer.start_as_current_span(name, context=context, attributes=attributes) as recorded:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        yield Span(carrier.get("traceparent"), recorded)


def inject(traceparent: str | None) -> tuple[tuple[str, bytes], ...]:
    """The Kafka headers that carry a trace on."""
    return () if traceparent is None else (("traceparent", traceparent.encode()),)


def extract(headers: Iterable[tuple[str, bytes]]) -> str | None:
    """The trace that a Kafka message carries; what is malformed is no trace."""
    for name, value in headers:
        if name == "traceparent":
            return valid_traceparent(value.decode("ascii", "replace"))
    return None


def valid_traceparent(text: str | None) -> str | None:
    """``text`` if it is a W3C traceparent: outsiders choose it, and it ends up in the log."""
    return text if text is not None and _TRACEPARENT.fullmatch(text) else None


def configure_tracing(service: str, role: str, *, endpoint: str | None) -> None:
    """Send spans to ``endpoint`` (OTLP over HTTP); without one tracing stays off.

    The exporter reads its other settings from the standard ``OTEL_`` variables.
    """
    if endpoint is None:
        return
    try:
        sdk = import_module("opentelemetry.sdk.trace")
        export = import_module("opentelemetry.sdk.trace.export")
        resources = import_module("opentelemetry.sdk.resources")
        otlp = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ModuleNotFoundError:
        logger.warning("tracing stays off: the extra 'otel' is not installed")
        return
    named = {"service.namespace": "stampbook", "service.name": f"{service}-{role}"}
    provider = sdk.TracerProvider(resource=resources.Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    record_spans(provider)
    atexit.register(_flush, provider.force_flush)


def _flush(flush: Callable[[], object]) -> None:
    """Send the last spans, unless nobody takes them: that must not keep a process from ending."""
    thread = threading.Thread(target=flush, name="last-spans", daemon=True)
    thread.start()
    thread.join(_LAST_SPANS_TIMEOUT_S)


def record_spans(provider: trace.TracerProvider | None) -> None:
    """From now on give every span to ``provider``; None switches tracing off."""
    _Tracing.tracer = None if provider is None else provider.get_tracer("stampbook")
