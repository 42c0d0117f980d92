"""Files as commands, a chunk at a time."""

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stampbook import import_source
from stampbook.import_source import NdjsonSource, Place, chunks


def write(folder: Path, *lines: bytes) -> Path:
    path = folder / "purchases.ndjson"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def test_leaves_out_empty_lines_and_counts_them(tmp_path: Path) -> None:
    path = write(tmp_path, b'{"id":"a"}', b"", b"  ", b'{"id":"b"}')

    found = [(line.number, line.raw) for line, _ in NdjsonSource(path).lines(Place())]

    assert found == [(1, b'{"id":"a"}'), (4, b'{"id":"b"}')]


def test_reads_a_last_line_without_its_end(tmp_path: Path) -> None:
    path = tmp_path / "purchases.ndjson"
    path.write_bytes(b'{"id":"a"}\n{"id":"b"}')

    assert [line.raw for line, _ in NdjsonSource(path).lines(Place())] == [
        b'{"id":"a"}',
        b'{"id":"b"}',
    ]


def test_gives_lines_the_type_that_they_do_not_name(tmp_path: Path) -> None:
    path = write(tmp_path, b'{"id":"a"}', b'{"id":"b","type":"return"}', b"not json", b"[1]")

    raws = [line.raw for line, _ in NdjsonSource(path, "purchase").lines(Place())]

    assert raws == [
        b'{"type":"purchase","id":"a"}',
        b'{"id":"b","type":"return"}',
        b"not json",
        b"[1]",
    ]


def test_goes_on_after_a_line_that_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_source, "LINE_BYTES_MAX", 16)
    path = write(tmp_path, b'{"id":"a"}', b'{"id":"' + b"b" * 50 + b'"}', b'{"id":"c"}')

    found = [line for line, _ in NdjsonSource(path).lines(Place())]

    assert [(line.number, line.fault is None) for line in found] == [
        (1, True),
        (2, False),
        (3, True),
    ]
    assert found[2].raw == b'{"id":"c"}'


def test_no_chunk_is_larger_than_a_request_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_source, "CHUNK_LINES_MAX", 3)
    monkeypatch.setattr(import_source, "CHUNK_BYTES_MAX", 30)
    path = write(tmp_path, *(b'{"id":"%d"}' % n for n in range(7)), b'{"id":"' + b"x" * 40 + b'"}')

    sizes = [len(chunk.lines) for chunk in chunks(NdjsonSource(path), Place())]

    assert sizes == [3, 3, 1, 1]


@given(st.lists(st.sampled_from([b"", b'{"id":"a"}', b"x" * 9, b" "]), max_size=12))
def test_going_on_from_any_place_gives_the_rest(tmp_path_factory, lines: list[bytes]) -> None:  # type: ignore[no-untyped-def]
    path = write(tmp_path_factory.mktemp("rest"), *lines)
    source = NdjsonSource(path)
    whole = list(source.lines(Place()))

    for n, (_, place) in enumerate(whole):
        assert list(source.lines(place)) == whole[n + 1 :]
    assert all(a.offset < b.offset for (_, a), (_, b) in pairwise(whole))


def test_the_sample_has_a_purchase_on_every_line() -> None:
    sample = Path(import_source.__file__).parent.parent / "examples" / "purchases.ndjson"

    found = [line for line, _ in NdjsonSource(sample).lines(Place())]

    assert len(found) == 2_024
    assert {msgspec.json.decode(line.raw)["type"] for line in found} == {"purchase"}
