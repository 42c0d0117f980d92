"""Documents as people write them: what is read, what is refused, and on which line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rewards import text
from services.rewards.document import read
from services.rewards.domain.errors import Fault, NotAProgramme
from services.rewards.parts import NotText
from services.rewards.text import SIZE_MAX_BYTES
from tests.support.contracts import EXAMPLES

YAML, JSON = "application/yaml", "application/json"
GROCER = """\
programme: grocer
currency: USD
time_zone: America/New_York
units:
  points: {expires_after: P12M}
rules:
  base:
    on: purchase
    earn: {unit: points, points: 1, per: "10.00"}
"""


def faults_of(written: str, media_type: str = YAML, **named: Any) -> list[Fault]:
    with pytest.raises(NotAProgramme) as refused:
        read(written.encode(), media_type, **named)
    return list(refused.value.faults)


def places(faults: list[Fault]) -> list[tuple[str, str, int | None]]:
    return [(fault.pointer, fault.code, fault.line) for fault in faults]


def test_reads_the_grocers_programme() -> None:
    raw = Path("examples/programmes/grocer.yaml").read_bytes()

    found = read(raw, YAML, programme="grocer")

    assert found.programme == "grocer"
    assert json.loads(found.content) == json.loads(EXAMPLES["programme"])
    assert found.written == raw.decode()


def test_reads_the_bookshops_programme_with_its_terms() -> None:
    raw = Path("examples/programmes/bookshop.yaml").read_bytes()

    assert json.loads(read(raw, YAML).content) == json.loads(EXAMPLES["programme.terms"])


def test_names_terms_that_make_no_sense_with_their_line() -> None:
    bad = "{expires_after: P1Y, expires: {end_of: week}, when_spent: forgive, grace: P1M}"
    late = "{expires: {end_of: year}, credited_after: P14D}"
    written = GROCER.replace("{expires_after: P12M}", f"{bad}\n  stars: {late}")

    assert sorted(places(faults_of(written))) == [
        ("/units/points/expires/end_of", "not-allowed", 5),
        ("/units/points/expires_after", "not-allowed", 5),
        ("/units/points/grace", "malformed", 5),
        ("/units/points/when_spent", "not-allowed", 5),
        ("/units/stars/credited_after", "too-long", 6),
    ]


@pytest.mark.parametrize("name", ["programme", "programme.two-units", "programme.terms"])
def test_reads_the_published_examples_in_both_languages(name: str) -> None:
    as_json = read(EXAMPLES[name].encode(), JSON)
    as_yaml = read(EXAMPLES[name].encode(), YAML)  # YAML is a superset of JSON

    assert json.loads(as_json.content) == json.loads(EXAMPLES[name])
    assert as_yaml.content == as_json.content


def test_comments_order_and_quotes_do_not_change_what_it_says() -> None:
    lines = GROCER.splitlines(keepends=True)
    reordered = "# Dear shop\r\n" + "".join([*lines[5:], *lines[:5]]).replace("USD", "'USD'")

    assert read(reordered.encode(), YAML).content == read(GROCER.encode(), YAML).content


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert read(b"\xef\xbb\xbf" + GROCER.encode(), YAML).written == GROCER


def test_names_every_fault_with_its_line() -> None:
    written = """\
programme: grocer
currency: USX
time_zone: America/Newyork
surprise: 1
units:
  points: {expires_after: P0M}
  Stars!: {}
rules:
  base:
    on: purchase
    earn: {unit: miles, points: -1, per: 10.00}
  bonus:
    on: purchase
    when: it rains
    earn:
      unit: points
      points: 1.5
"""

    faults = faults_of(written, programme="baker")

    assert places(faults) == [
        ("/programme", "other-programme", 1),
        ("/currency", "unknown-currency", 2),
        ("/time_zone", "unknown-time-zone", 3),
        ("/surprise", "unknown-field", 4),
        ("/units/points/expires_after", "malformed", 6),
        ("/units/Stars!", "malformed", 7),
        ("/rules/base/earn/unit", "unknown-unit", 11),
        ("/rules/base/earn/points", "out-of-range", 11),
        ("/rules/base/earn/per", "wrong-type", 11),
        ("/rules/bonus/when", "unknown-field", 14),
        ("/rules/bonus/earn/per", "missing", 15),
        ("/rules/bonus/earn/points", "wrong-type", 17),
    ]


def test_names_the_column_too() -> None:
    [fault] = faults_of(GROCER.replace("unit: points", "unit: miles"))

    assert (fault.line, fault.column) == (9, 12)


def test_a_fault_in_json_has_a_line_too() -> None:
    written = EXAMPLES["programme"].replace('"points": 1', '"points": 0')

    [fault] = faults_of(written, JSON)

    assert written.splitlines()[(fault.line or 0) - 1][(fault.column or 0) - 1 :].startswith(
        '"points": 0'
    )


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        (GROCER + "currency: EUR\n", ("/currency", "repeated", 10)),
        (GROCER.replace("P12M}", "P12M, expires_after: P1M}"), None),
        (GROCER.replace("points: {", "points: &life {"), ("/units/points", "alias", 5)),
        (GROCER.replace("USD", "!!str USD"), ("/currency", "tag", 2)),
        (GROCER.replace("USD", "!<currency> USD"), ("/currency", "tag", 2)),
        ("---\n" + GROCER + "---\nmore: 1\n", ("", "too-many", 11)),
        (GROCER.replace("grocer", '"gr\\ud83d"'), ("/programme", "malformed", 1)),
        (GROCER + "? [a, b]\n: c\n", ("", "malformed", 10)),
        (GROCER + "<<: {a: b}\n", ("/<<", "unknown-field", 10)),
        (GROCER + "merchants: " + "[" * 30 + "]" * 30, None),
    ],
)
def test_of_yaml_only_what_json_can_say(written: str, fault: tuple[str, str, int] | None) -> None:
    found = places(faults_of(written))

    assert fault is None or fault in found


def test_an_alias_is_not_followed() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{name}: &{name} [*{before}, *{before}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )

    found = places(faults_of(bomb))

    assert {place for place in found if place[1] == "alias"} >= {
        ("/a", "alias", 1),
        ("/b/0", "alias", 2),
        ("/i/1", "alias", 9),
    }


@pytest.mark.parametrize("media_type", [YAML, JSON])
def test_a_key_stands_once(media_type: str) -> None:
    faults = faults_of('{"programme": "a",\n "programme": "b"}', media_type)

    assert [(f.line, f.column) for f in faults if f.code == "repeated"] == [(2, 2)]


@pytest.mark.parametrize("written", ["", "# nothing\n", "null", "3", "[]", "just words"])
def test_a_document_is_a_mapping(written: str) -> None:
    [fault] = faults_of(written)

    assert (fault.pointer, fault.code, fault.line, fault.column) == ("", "wrong-type", 1, 1)


@pytest.mark.parametrize(
    ("raw", "media_type", "place"),
    [
        (b"a: 'open", YAML, (1, 9)),
        (b"a: b\n  c: [", YAML, (2, 4)),
        (b"a: 1\nb:\t\x00", YAML, (2, 4)),
        (b"%YAML 3.0\n---\na: 1", YAML, (1, 1)),
        (b'"\\UFFFFFFFF"', YAML, None),
        (b"caf\xe9: 1", YAML, None),
        (b"{\n  'a': 1}", JSON, (2, 3)),
        (b"{", JSON, None),
        (b"", JSON, None),
        (b"\xff", JSON, None),
        (b"[" * 50_000, JSON, None),
        (b" " * (SIZE_MAX_BYTES + 1), YAML, None),
    ],
)
def test_says_where_it_cannot_be_read(
    raw: bytes, media_type: str, place: tuple[int, int] | None
) -> None:
    with pytest.raises(NotText) as refused:
        read(raw, media_type)

    assert refused.value.place == place
    assert refused.value.language == ("JSON" if media_type == JSON else "YAML")


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("on", "on"), ("yes", "yes"), ("no", "no"), ("2017-01-01", "2017-01-01"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"), ("12:30", "12:30"), ("P12M", "P12M"), ("true", True), ("~", None),
        ("7", 7), ("-7", -7), ("007", 7), ("1.0", 1), ("1.5", 1.5), ("1e3", 1000), (".5", 0.5),
        ("1e999", "1e999"), ("9" * 30, "9" * 30), ("'7'", "7"), ('"true"', "true"), ("|\n  7", "7"),
    ],
)  # fmt: skip
def test_words_mean_what_yaml_1_2_says(word: str, value: object) -> None:
    assert text.read(f"a: {word}".encode(), YAML).value == {"a": value}


_KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | _KEYS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(value=_VALUES, indent=st.sampled_from([None, 0, 2, "\t"]), ascii_only=st.booleans())
def test_reads_json_as_json(value: Any, indent: Any, *, ascii_only: bool) -> None:
    written = json.dumps(value, indent=indent, ensure_ascii=ascii_only)

    found = text.read(written.encode(), JSON)

    assert found.value == value
    assert found.faults == ()


@given(raw=st.binary(max_size=200) | st.text("ab:-[]{}&*!|>#\"' \n?%,1.").map(str.encode))
def test_whatever_comes_is_read_or_refused(raw: bytes) -> None:
    for media_type in (YAML, JSON):
        try:
            found: object = read(raw, media_type)
        except NotAProgramme as refused:
            found = [fault for fault in refused.faults if fault.line and fault.column]
            msgspec.json.encode([fault.detail for fault in refused.faults])
        except NotText as refused:
            found = str(refused)
        assert found


@pytest.mark.parametrize("piece", ["[", "{", "- ", "? ", "a: &a *a\n", "- 'x\n", "{a: 1, "])
def test_the_largest_text_is_refused_in_bounded_time_and_depth(piece: str) -> None:
    raw = (piece * SIZE_MAX_BYTES)[:SIZE_MAX_BYTES].encode()

    with pytest.raises((NotText, NotAProgramme)):
        read(raw, YAML)
