"""CSV rows as commands."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.runtime.contracts import Contract
from stampbook.failures import Misused
from stampbook.import_csv import CsvSource, Mapping, read_mapping
from stampbook.import_source import Place

EXAMPLES = Path(__file__).parents[3] / "examples"


def commands(folder: Path, text: str, **mapping: Any) -> list[dict[str, Any]]:
    path = folder / "rows.csv"
    path.write_bytes(text.encode(mapping.get("encoding", "utf-8")))
    source = CsvSource(path, msgspec.convert(mapping, Mapping))
    return [msgspec.json.decode(line.raw) for line, _ in source.lines(Place())]


def test_the_example_is_eight_purchases_as_the_contract_has_them() -> None:
    source = CsvSource(EXAMPLES / "grocer.csv", read_mapping(EXAMPLES / "grocer-mapping.yaml"))

    found = [msgspec.json.decode(line.raw) for line, _ in source.lines(Place())]

    assert len(found) == 8
    assert found[0] == {
        "type": "purchase",
        "id": "31336286104",
        "member": "1992",
        "shop": "396",
        "purchased_at": "2017-01-08T13:55:02-05:00",
        "currency": "USD",
        "lines": [
            {
                "line": "1",
                "sku": "933361",
                "categories": ["GROCERY", "BEERS/ALES"],
                "quantity": 1,
                "amount_minor": 799,
            },
            {
                "line": "2",
                "sku": "1039156",
                "categories": ["DRUG GM", "NEWSPAPER"],
                "quantity": 1,
                "amount_minor": 150,
            },
        ],
    }
    for command in found:
        purchase = {name: command[name] for name in command if name not in {"type", "id"}}
        assert Contract.of("commands/purchase").errors(purchase) == []


def test_cards_are_brought_along_from_a_list_of_them(tmp_path: Path) -> None:
    text = "number,holder\n4006381333931,1130\n012345678905,27\n"

    found = commands(tmp_path, text, type="card", command={"id": "number", "member": "holder"})

    assert found == [
        {"type": "card", "id": "4006381333931", "member": "1130"},
        {"type": "card", "id": "012345678905", "member": "27"},
    ]


def test_going_on_from_any_place_gives_the_rest() -> None:
    source = CsvSource(EXAMPLES / "grocer.csv", read_mapping(EXAMPLES / "grocer-mapping.yaml"))
    whole = list(source.lines(Place()))

    for n, (_, place) in enumerate(whole):
        assert list(source.lines(place)) == whole[n + 1 :]


def test_a_line_break_in_quotes_is_part_of_its_cell(tmp_path: Path) -> None:
    text = 'id,note\na,"one\ntwo"\nb,three\n'

    found = commands(tmp_path, text, command={"id": "id"}, attributes={"note": "note"})

    assert [command["attributes"] for command in found] == [{"note": "one\ntwo"}, {"note": "three"}]


def test_a_return_is_named_by_two_columns(tmp_path: Path) -> None:
    text = "receipt,back,when,line,paid\n7,r1,2026-11-01 10:00,1,2.50\n"

    found = commands(
        tmp_path,
        text,
        type="return",
        time_zone="Europe/Berlin",
        decimals=2,
        command={"id": ["receipt", "back"], "returned_at": "when"},
        line={"line": "line", "quantity": {"value": 1}, "amount_minor": "paid"},
    )

    assert found == [
        {
            "type": "return",
            "id": "7/r1",
            "returned_at": "2026-11-01T10:00:00+01:00",
            "lines": [{"line": "1", "quantity": 1, "amount_minor": 250}],
        }
    ]


@pytest.mark.parametrize(
    ("cell", "decimals", "expected"),
    [
        ("198", None, 198),
        ("1.98", 2, 198),
        ("1.9", 2, 190),
        ("1.980", 2, 198),
        ("1.985", 2, "1.985"),
        ("-1.00", 2, -100),
        ("free", 2, "free"),
        ("NaN", 2, "NaN"),
        ("Infinity", 2, "Infinity"),
        ("1.98", None, "1.98"),
        ("5", 0, 5),
    ],
)
def test_an_amount_is_exact_or_stays_as_it_was(
    tmp_path: Path, cell: str, decimals: int | None, expected: object
) -> None:
    text = f"id,paid\na,{cell}\n"

    [command] = commands(
        tmp_path, text, decimals=decimals, command={"id": "id"}, line={"amount_minor": "paid"}
    )

    assert command["lines"][0]["amount_minor"] == expected


def test_takes_a_decimal_comma_a_semicolon_and_another_encoding(tmp_path: Path) -> None:
    text = "id;sku;paid;when\na;Käse;1,98;24.12.2026 18:30\n"

    [command] = commands(
        tmp_path,
        text,
        encoding="cp1252",
        delimiter=";",
        decimals=2,
        decimal_mark=",",
        time_zone="Europe/Vienna",
        time_format="%d.%m.%Y %H:%M",
        command={"id": "id", "purchased_at": "when"},
        line={"sku": "sku", "amount_minor": "paid"},
    )

    assert command["purchased_at"] == "2026-12-24T18:30:00+01:00"
    assert command["lines"] == [{"line": "1", "sku": "Käse", "amount_minor": 198}]


def test_an_empty_cell_is_a_field_left_out(tmp_path: Path) -> None:
    [command] = commands(tmp_path, "id,member\na,\n", command={"id": "id", "member": "member"})

    assert command == {"type": "purchase", "id": "a"}


def test_names_the_columns_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(Misused, match="card, store") as refused:
        commands(
            tmp_path, "id,when\na,b\n", command={"id": "id", "member": "card", "shop": "store"}
        )

    assert "Its columns are: id, when" in str(refused.value)


def test_names_the_line_that_is_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("id\nok\nKäse\n".encode("cp1252"))

    with pytest.raises(Misused, match=r"line 3.*name its encoding"):
        list(CsvSource(path, Mapping(command={"id": "id"})).lines(Place()))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("command: {id: a}\nlines: {}\n", "unknown field `lines`"),
        ("command: {member: a}\n", "which column holds the id"),
        ("command: {id: a}\ntime_zone: Mars/Base\n", "Mars/Base"),
        ("command: {id: [\n", "mapping.yaml"),
        ("type: gift\ncommand: {id: a}\n", "gift"),
    ],
)
def test_says_what_is_wrong_with_a_mapping(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(text)

    with pytest.raises(Misused, match=complaint):
        read_mapping(path)
