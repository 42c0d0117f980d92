"""Log lines are for machines, or for the person in front of the terminal; traces are handed on."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.runtime.telemetry import (
    Span,
    configure_logging,
    configure_tracing,
    extract,
    inject,
    record_spans,
    span,
    valid_traceparent,
)

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back as it was."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def test_a_line_is_a_json_object_with_ids_as_fields(root: logging.Logger) -> None:
    out = io.StringIO()
    configure_logging("ledger", "writer", out=out)

    root.info("recorded", extra={"purchase": "17", "positions": [1, 2], "color_message": "x"})

    line = json.loads(out.getvalue())
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "info",
        "service": "ledger",
        "role": "writer",
        "logger": "root",
        "message": "recorded",
        "purchase": "17",
        "positions": [1, 2],
    }


def test_a_failure_is_one_line_with_its_trace(root: logging.Logger) -> None:
    out = io.StringIO()
    configure_logging("ledger", "writer", out=out)

    root.error("failed", exc_info=ZeroDivisionError("by nought"), extra={"unheard": object()})

    [line] = out.getvalue().splitlines()
    assert "ZeroDivisionError: by nought" in json.loads(line)["error"]


def test_a_person_at_a_terminal_gets_plain_text(root: logging.Logger) -> None:
    out = Terminal()
    configure_logging("ledger", "writer", out=out)

    root.warning("declined", extra={"purchase": "17"})

    assert out.getvalue().endswith("WARNING root: declined  purchase=17\n")


@pytest.mark.usefixtures("root")
def test_chatty_libraries_are_silenced_below_warnings() -> None:
    out = io.StringIO()
    configure_logging("ledger", "api", out=out)

    logging.getLogger("uvicorn.access").info("GET /")
    logging.getLogger("uvicorn.error").info("started")

    assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == ["started"]


def test_a_trace_survives_the_way_through_kafka() -> None:
    assert extract((("ce_id", b"1"), *inject(TRACE))) == TRACE
    assert inject(None) == ()
    assert extract(()) is None


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "00-xyz",
        f"{TRACE}\n",
        TRACE.upper(),
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
    ],
)
def test_what_is_malformed_is_no_trace(text: str | None) -> None:
    assert valid_traceparent(text) is None


def test_bytes_that_are_no_text_are_no_trace() -> None:
    assert extract([("traceparent", b"\xff\xfe")]) is None


def test_with_tracing_off_the_callers_trace_goes_through() -> None:
    with span("decide", parent=TRACE, purchase="17") as current:
        current.set(outcome="recorded")

        assert current.traceparent == TRACE
    with span("decide") as current:
        assert current.traceparent is None


def test_with_tracing_off_a_span_is_next_to_nothing() -> None:
    assert type(span("decide", parent=TRACE, purchase="17")) is Span


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Tracing switched on; what was recorded."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    record_spans(provider)
    yield exporter
    record_spans(None)
    provider.shutdown()


def test_with_tracing_on_every_hop_belongs_to_the_callers_trace(
    spans: InMemorySpanExporter,
) -> None:
    with span("http PUT", parent=TRACE, purchase="17") as hop:
        hop.set(status=202)
        with span("produce"):
            carried = inject(hop.traceparent)
    with span("decide", parent=extract(carried)):
        pass

    produced, received, decided = spans.get_finished_spans()
    assert {f"{each.context.trace_id:032x}" for each in (produced, received, decided)} == {
        TRACE.split("-")[1]
    }
    assert produced.parent == received.context
    assert decided.parent is not None
    assert decided.parent.span_id == received.context.span_id
    assert received.attributes == {"purchase": "17", "status": 202}


def test_without_an_endpoint_tracing_stays_off() -> None:
    configure_tracing("ledger", "api", endpoint=None)

    with span("decide") as current:
        assert current.traceparent is None


@pytest.mark.usefixtures("root")
def test_an_endpoint_without_the_extra_is_said_and_no_failure() -> None:
    script = (
        "import sys; sys.modules['opentelemetry.sdk.trace'] = None\n"
        "from services.runtime.telemetry import *\n"
        "configure_logging('ledger', 'api')\n"
        "configure_tracing('ledger', 'api', endpoint='http://collector')\n"
        "assert span('decide').traceparent is None"
    )

    said = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)

    assert "'otel' is not installed" in json.loads(said.stderr)["message"]
