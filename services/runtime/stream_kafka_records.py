"""Messages as any Kafka client may have written them, turned into ours."""

from __future__ import annotations

from typing import Any, Protocol

from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint

from services.runtime.stream import Record


class FoundRecord(Protocol):
    """What KafkaConsumer gives."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> list[tuple[str, bytes | None]]: ...


def to_record(partition: int, found: FoundRecord) -> Record:
    """Whatever the message leaves out is empty; bytes of a key that are no text are escaped."""
    return Record(
        partition,
        found.offset,
        (found.key or b"").decode(errors="backslashreplace"),
        found.value or b"",
        tuple((name, value or b"") for name, value in found.headers) if found.headers else (),
        found.timestamp,
    )


def read_any_header() -> None:
    """Make kafka-python read messages with a header name that is no UTF-8, without their headers.

    Other clients can write such names. As it is, one of them makes poll fail, then hang, and the
    partition would be stuck behind it for ever. Doing this again changes nothing.
    """
    DefaultRecordBatch._read_msg = _read  # noqa: SLF001


_read_strictly = DefaultRecordBatch._read_msg  # noqa: SLF001


def _read(batch: Any) -> Any:
    try:
        return _read_strictly(batch)
    except UnicodeDecodeError:
        return _read_without_headers(batch)


def _read_without_headers(batch: Any) -> Any:
    """The next record of a batch (format 2): its fields stand one after another."""
    buffer, at = batch._buffer, batch._pos  # noqa: SLF001
    length, at = decode_varint(buffer, at)
    end = at + length
    _, at = decode_varint(buffer, at)  # attributes
    later_ms, at = decode_varint(buffer, at)
    later, at = decode_varint(buffer, at)
    key, at = _read_bytes(buffer, at)
    value, at = _read_bytes(buffer, at)
    batch._pos = end  # noqa: SLF001
    is_stamped_by_broker = batch.timestamp_type == batch.LOG_APPEND_TIME
    at_ms = batch.max_timestamp if is_stamped_by_broker else batch.first_timestamp + later_ms
    offset = batch.base_offset + later
    return DefaultRecord(length, offset, at_ms, batch.timestamp_type, key, value, [])


def _read_bytes(buffer: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = decode_varint(buffer, at)
    return (None, at) if length < 0 else (bytes(buffer[at : at + length]), at + length)
