"""A shard takes its own partitions, and nothing that belongs to another one."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from services.ledger.verify import verify
from services.runtime.database import Database
from services.runtime.shards import ShardsDiffer, Share
from services.runtime.stream import Message, Record, partition_of
from tests.support.desk import Desk
from tests.support.installation import our_code

PARTITIONS = 12
OURS = next(f"m{n}" for n in range(100) if partition_of(f"m{n}", PARTITIONS) % 2 == 1)
THEIRS = next(f"m{n}" for n in range(100) if partition_of(f"m{n}", PARTITIONS) % 2 == 0)


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database, share=Share(1, 2))


def lying(desk: Desk, message: Message, *, key: str | None = None) -> Record:
    """The message where it falls by its key, or by a wrong one."""
    return desk.record(message, partition=partition_of(key or message.key, PARTITIONS))


def test_events_carry_the_number_of_their_shard_and_are_sound(desk: Desk) -> None:
    desk.deliver([lying(desk, desk.purchase(member=OURS)), lying(desk, desk.award(member=OURS))])

    assert [(e.shard, e.position) for e in desk.events()] == [(1, 1), (1, 2)]
    assert verify(desk.database, progress=lambda *_: None).ok


def test_a_command_with_a_wrong_key_is_parked(desk: Desk) -> None:
    stranger = desk.purchase(THEIRS, member=None)

    desk.deliver(
        [
            lying(desk, desk.purchase("p-1", member=THEIRS), key=OURS),
            lying(desk, stranger, key=OURS),
            lying(desk, desk.purchase("p-2", member=OURS)),
        ]
    )

    assert [code for code, _ in desk.letters()] == ["wrong-key", "wrong-key"]
    assert desk.types() == ["purchase.recorded"]


def test_a_card_may_lead_anywhere(desk: Desk) -> None:
    by_card = desk.purchase("p-1", member=None, card="4711")

    desk.deliver([desk.record(by_card, partition=partition_of(OURS, PARTITIONS))])

    assert desk.letters() == []


def test_an_api_does_not_answer_for_members_that_it_cannot_see(tmp_path: Path) -> None:
    settings = {
        "LEDGER_SHARDS": "2",
        "LEDGER_DATABASE_URL": "sqlite:////x",
        "LEDGER_STREAM_URL": "sqlite:////x",
    }

    ended = subprocess.run(
        (sys.executable, "-m", "services.ledger", "api"),
        cwd=tmp_path,
        env={**our_code(), **settings},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 1
    assert "answers for one shard only" in ended.stderr


def test_a_claim_needs_its_member_in_the_shard_of_the_purchase(desk: Desk) -> None:
    sold = desk.purchase(OURS, member=None)  # an id that falls here like a member's
    theirs = desk.command("claim", f"{OURS}/a", {"member": THEIRS})
    ours = desk.command("claim", f"{OURS}/b", {"member": OURS})

    desk.deliver([lying(desk, each, key=OURS) for each in (sold, theirs, ours)])

    assert [code for code, _ in desk.letters()] == ["other-shard"]
    assert [(e.member, type(e.event).__name__) for e in desk.events()] == [
        (None, "PurchaseRecorded"),
        (OURS, "PurchaseClaimed"),
    ]


def test_a_card_is_known_in_the_shard_of_its_member_only(desk: Desk) -> None:
    card = desk.command("card", f"{THEIRS}/a", {"member": OURS})
    bought = desk.purchase(member=None, card=THEIRS)
    unknown = desk.purchase("p-2", member=None, card="nobodys")

    # The door knew whom the card leads to, and put the purchase there.
    desk.deliver([lying(desk, each, key=OURS) for each in (card, bought, unknown)])

    assert desk.letters() == []
    assert [e.member for e in desk.events()] == [OURS, OURS]
    declined = desk.outcome("purchase", "p-2")
    assert declined is not None
    assert declined.code == "unknown-card"


@pytest.mark.parametrize("share", [Share(), Share(0, 2), Share(1, 3), Share(2, 3)])
def test_a_log_is_never_written_under_another_deal(database: Database, share: Share) -> None:
    desk = Desk(database, share=Share(1, 2))
    desk.deliver([lying(desk, desk.purchase(member=OURS))])

    with pytest.raises(ShardsDiffer):
        Desk(database, share=share).deliver([])


def test_a_return_that_waited_too_long_ends_in_the_shard_where_it_waits(desk: Desk) -> None:
    returned = [desk.return_(f"p-{n}/r") for n in range(10)]
    desk.deliver([lying(desk, each) for each in returned if Share(1, 2).owns(each.key, PARTITIONS)])

    desk.now += timedelta(days=31)
    desk.expiry_clock.tick(desk.stream.producer())

    lapses = [message for _, message in desk.stream.appended]
    assert lapses
    assert all(Share(1, 2).owns(message.key, PARTITIONS) for message in lapses)
