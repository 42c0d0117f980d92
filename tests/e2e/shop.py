"""A merchant's tills and back office, in the words that the stories are told in."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.support.eventually import eventually
from tests.support.installation import Installation

WAIT = {"Prefer": "wait=30"}
Json = dict[str, Any]


def ago(**time: float) -> str:
    """So long before now, as tills write it."""
    return (datetime.now(UTC) - timedelta(**time)).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Shop:
    """One merchant; every story has names of its own, since stories share an installation."""

    installation: Installation
    client: httpx.Client
    token: str

    def name(self, what: str) -> str:
        """An id that no other story uses."""
        return f"{what}-{self.token}"

    def purchase(self, member: str | None, *amounts_minor: int, **changes: Any) -> Json:
        """A purchase's content: one line, one piece for each amount."""
        lines = [
            {"line": str(number), "sku": f"sku-{number}", "quantity": 1, "amount_minor": amount}
            for number, amount in enumerate(amounts_minor, 1)
        ]
        content: Json = {"member": member, "purchased_at": ago(hours=1), "currency": "USD"}
        content |= {"lines": lines, **changes}
        return {name: value for name, value in content.items() if value is not None}

    def put(self, path: str, content: Json, **headers: str) -> httpx.Response:
        """Ask for something to be recorded, and wait for the decision."""
        return self.client.put(f"/v1/{path}", json=content, headers={**WAIT, **headers})

    def buy(self, id_: str, member: str | None, *amounts_minor: int, **changes: Any) -> Json:
        """A purchase that is recorded; returns its content."""
        content = self.purchase(member, *amounts_minor, **changes)
        answer = self.put(f"purchases/{id_}", content)
        assert answer.status_code == 200, answer.text
        return content

    def give_back(self, path: str, parts: dict[str, int], **changes: Any) -> httpx.Response:
        """Bring back whole lines: how much money for each. One that waits is not waited for."""
        purchase, _, return_ = path.partition("/")
        lines = [
            {"line": line, "quantity": 1, "amount_minor": amount} for line, amount in parts.items()
        ]
        content = {"returned_at": ago(minutes=1), "lines": lines, **changes}
        return self.put(f"purchases/{purchase}/returns/{return_}", content)

    def redeem(self, id_: str, member: str, points: int, **changes: Any) -> httpx.Response:
        """Spend points."""
        content = {"member": member, "unit": "points", "points": points, **changes}
        return self.put(f"redemptions/{id_}", content)

    def reverse(self, id_: str, points: int | None = None) -> httpx.Response:
        """Give points of a redemption back, all of them if it is not said how many."""
        return self.put(f"redemptions/{id_}/reversal", {} if points is None else {"points": points})

    def claim(self, purchase: str, member: str) -> httpx.Response:
        """Make a stranger's purchase a member's."""
        return self.put(f"purchases/{purchase}/claim", {"member": member})

    def card(self, number: str, member: str, **changes: Any) -> httpx.Response:
        """Let a card lead to a member, or block it."""
        return self.put(f"cards/{number}", {"member": member, **changes})

    def get(self, path: str, **params: Any) -> Json:
        """What stands there."""
        answer = self.client.get(f"/v1/{path}", params=params)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def balance(self, member: str, unit: str = "points") -> Json | None:
        """A member's balance of one unit, if there is one."""
        answer = self.client.get(f"/v1/members/{member}/balances")
        found = answer.json()["balances"] if answer.status_code == 200 else []
        return next((each for each in found if each["unit"] == unit), None)

    def points(self, member: str) -> int:
        """What the member can spend."""
        balance = self.balance(member)
        return balance["available"] if balance else 0

    def wait_for_points(self, member: str, points: int) -> None:
        """Points follow a purchase within moments."""
        eventually(lambda: self.points(member) == points)

    def entries(self, member: str) -> list[Json]:
        """The statement."""
        items: list[Json] = self.get(f"members/{member}/entries")["items"]
        return items

    def lots(self, member: str) -> list[Json]:
        """The lots."""
        items: list[Json] = self.get(f"members/{member}/lots")["items"]
        return items

    def events(self, after: str = "0", **params: str) -> Iterator[Json]:
        """The log from there on."""
        while True:
            page = self.get("events", after=after, limit=1_000, **params)
            yield from page["items"]
            if not page["items"] and page["next"] == after:
                return
            after = page["next"]

    def end_of_log(self) -> str:
        """Where the log ends now: read on from here."""
        after = "0"
        while (page := self.get("events", after=after, limit=1_000))["next"] != after:
            after = page["next"]
        return after


def problem(answer: httpx.Response, status: int) -> str:
    """The code of a refusal."""
    assert answer.status_code == status, answer.text
    code: str = answer.json()["code"]
    return code
