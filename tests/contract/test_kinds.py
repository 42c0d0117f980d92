"""The one list of the kinds of commands, and of events, against all that speaks of them."""

from typing import Any, get_args

from services.ledger import application, kinds, wire
from services.ledger.domain.events import Event
from services.ledger.readers import READERS
from services.runtime.contracts import Contract


def enum_of(contract: str, *path: str) -> set[str]:
    found: Any = Contract.of(contract).schema
    for name in ("properties", *path, "enum"):
        found = found[name]
    return set(found)


def test_the_envelope_knows_every_kind_of_command() -> None:
    named = {name.removeprefix("stampbook.") for name in enum_of("commands/envelope", "type")}

    assert named == set(kinds.KINDS)


def test_an_outcome_can_be_of_every_kind() -> None:
    assert enum_of("outcome", "type") == set(kinds.KINDS)


def test_a_batch_takes_what_comes_from_outside() -> None:
    assert enum_of("batch-line", "type") == set(kinds.FROM_OUTSIDE)


def test_every_kind_is_decided() -> None:
    assert set(application._DECIDERS) == set(kinds.KINDS)  # noqa: SLF001  # the list itself


def test_every_event_has_a_name_and_a_reader() -> None:
    assert set(wire.NAMES) == set(get_args(Event))
    assert set(wire.NAMES.values()) == set(READERS)
