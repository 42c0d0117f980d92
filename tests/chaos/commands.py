"""What the clients of a chaos run ask for: drawn from a seed, the same for the same seed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

GROCER, FLORIST = "grocer", "florist"
UNIT = "points"
FLASH = """
programme: flash
currency: USD
time_zone: UTC
merchants: [florist]
units: {petals: {expires_after: PT4S}}
rules: {base: {on: purchase, earn: {unit: petals, points: 1, per: "1.00"}}}
"""
_MEMBERS = [f"m{number}" for number in range(24)]
CARDS = {member: f"card-{member}" for member in _MEMBERS[:12]}
"""Of some members, who show them as often as they say who they are."""
_MEMBERS_OF_THE_PAST = [f"past{number}" for number in range(3)]
_COPIES_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One thing that a client wants recorded, once."""

    type: str
    id: str  # PURCHASE/RETURN for a return
    member: str
    content: dict[str, Any]
    merchant: str = GROCER

    @property
    def path(self) -> str:
        """Where REST takes it."""
        purchase, _, return_ = self.id.partition("/")
        return {
            "purchase": f"/v1/purchases/{self.id}",
            "return": f"/v1/purchases/{purchase}/returns/{return_}",
            "redemption": f"/v1/redemptions/{self.id}",
            "reversal": f"/v1/redemptions/{self.id}/reversal",
        }[self.type]

    @property
    def message(self) -> bytes:
        """How it looks on topic `intake`."""
        envelope = {"specversion": "1.0", "type": f"stampbook.{self.type}", "id": self.id}
        return json.dumps({**envelope, "source": self.merchant, "data": self.content}).encode()

    @property
    def amount_minor(self) -> int:
        """Of all lines."""
        return sum(line["amount_minor"] for line in self.content["lines"])


@dataclass(slots=True)
class Client:
    """Draws one client's commands, a bag after another."""

    name: str
    seed: str
    _chance: Random = field(init=False)
    _patience: Random = field(init=False)  # of its own: how often it is asked for varies
    _number: int = 0
    _to_return: list[Command] = field(default_factory=list)
    _to_reverse: list[Command] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = Random(f"{self.seed}/{self.name}")
        self._patience = Random(f"{self.seed}/{self.name}/patience")

    def bags(self) -> Iterator[list[Command]]:
        """What is sent next: each command one to five times, in any order."""
        while True:
            bag = [self._purchase() for _ in range(self._chance.randint(3, 6))]
            if self._to_return and self._chance.random() < 0.5:
                bag += self._returns()
            if self._chance.random() < 0.5:
                bag.append(self._redemption())
            if self._to_reverse and self._chance.random() < 0.4:
                bag.append(self._reversal())
            copies = [each for each in bag for _ in range(self._chance.randint(1, _COPIES_MAX))]
            self._chance.shuffle(copies)
            yield copies

    def is_patient(self) -> bool:
        """Whether it sends a command that was not acknowledged until it is, or lets it go."""
        return self._patience.random() < 0.9

    def _purchase(self) -> Command:
        chance = self._chance
        merchant = FLORIST if chance.random() < 0.1 else GROCER
        member, age = chance.choice(_MEMBERS), timedelta(days=chance.randint(1, 200))
        if merchant == GROCER and chance.random() < 0.05:
            member, age = chance.choice(_MEMBERS_OF_THE_PAST), timedelta(days=500)
        if merchant == FLORIST:
            age = timedelta()
        lines = [
            {"line": str(n), "sku": f"s{n}", "quantity": 1, "amount_minor": chance.randrange(4_000)}
            for n in range(1, chance.randint(1, 4) + 1)
        ]
        purchased_at = (datetime.now(UTC) - age).isoformat(timespec="seconds")
        content = {**self._named(member), "purchased_at": purchased_at, "currency": "USD"}
        made = Command(
            type="purchase",
            id=self._id("b"),
            member=member,
            content={**content, "lines": lines},
            merchant=merchant,
        )
        if merchant == GROCER and member in _MEMBERS:
            self._to_return.append(made)
        return made

    def _returns(self) -> Iterator[Command]:
        """Some lines of an earlier purchase, or of one in this very bag, each line once."""
        bought = self._to_return.pop(self._chance.randrange(len(self._to_return)))
        lines = list(bought.content["lines"])
        self._chance.shuffle(lines)
        for line in lines[: self._chance.randint(1, len(lines))]:
            back = {name: line[name] for name in ("line", "quantity", "amount_minor")}
            yield Command(
                type="return",
                id=f"{bought.id}/r{line['line']}",
                member=bought.member,
                content={"returned_at": datetime.now(UTC).isoformat(), "lines": [back]},
            )

    def _redemption(self) -> Command:
        member = self._chance.choice(_MEMBERS)
        points = self._chance.randint(1, 12)
        content = {**self._named(member), "unit": UNIT, "points": points}
        made = Command(type="redemption", id=self._id("s"), member=member, content=content)
        self._to_reverse.append(made)
        return made

    def _named(self, member: str) -> dict[str, Any]:
        """Who it is, or the card that stands for him."""
        if member in CARDS and self._chance.random() < 0.5:
            return {"card": CARDS[member]}
        return {"member": member}

    def _reversal(self) -> Command:
        spent = self._to_reverse.pop(self._chance.randrange(len(self._to_reverse)))
        points = self._chance.randint(1, spent.content["points"])
        content = {"points": points} if self._chance.random() < 0.5 else {}
        return Command(type="reversal", id=spent.id, member=spent.member, content=content)

    def _id(self, kind: str) -> str:
        self._number += 1
        return f"{self.name}-{kind}{self._number}"


def garbage(chance: Random) -> bytes:
    """A message that is no command, however it is read."""
    whole = Client("x", str(chance.random())).bags()
    message = next(whole)[0].message
    return chance.choice(
        [
            chance.randbytes(chance.randrange(60)),
            message[: chance.randrange(1, len(message) - 1)],
            message.replace(b"stampbook.", b"unheard-of."),
            message.replace(b'"data": {', b'"data": {"colour": "red", '),
            b"[" * chance.randrange(1, 5_000),
        ]
    )
