"""A ledger as its doors show it: an app over a database, a stream in a file, and a real writer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import httpx
from fastapi import FastAPI

from services.ledger.api import TITLE, routes
from services.ledger.consumer import Writer
from services.ledger.intake import Rules, command
from services.ledger.keys import StoredKeys
from services.ledger.signing import NO_SEALS, Seals
from services.runtime.auth import Role
from services.runtime.checkpoints import Notary
from services.runtime.clock import rfc3339, utc_now
from services.runtime.contracts import Contract
from services.runtime.database import Database
from services.runtime.footing import Footing
from services.runtime.health import Health
from services.runtime.ownership import Ownership
from services.runtime.stream import Producer, Stream, open_stream
from services.runtime.web import application
from tests.support.asyncs import soon
from tests.support.doors import door_to
from tests.support.keys import bearer

OPERATOR_KEY = "sb_the_operators_own"


class Ledger:
    """One installation; its clock goes with the world's, unless the test sets it forward."""

    def __init__(
        self,
        database: Database,
        stream: Stream,
        producer: Producer,
        *,
        notary: Notary | None = None,
        seals: Seals = NO_SEALS,
    ) -> None:
        self.notary = notary
        self.seals = seals
        self.database = database
        self.stream = stream
        self.producer = producer
        self.ahead = timedelta()
        self.currencies = {"USD"}
        self.rules = Rules(
            is_accepted_currency=lambda code: code in self.currencies, clock=self.clock
        )
        self.keys = StoredKeys(database, self.clock, operator_key=OPERATOR_KEY)
        self.app = self.fresh_app()

    def clock(self) -> datetime:
        return utc_now() + self.ahead

    def fresh_app(self) -> FastAPI:
        """As after a restart: it remembers nothing."""
        router = routes(
            database=self.database,
            producer=self.producer,
            keys=self.keys,
            rules=self.rules,
            seals=self.seals,
        )
        return application(TITLE, "0", [router], health=Health())

    def door(self, merchant: str | None = "grocer", *, app: FastAPI | None = None) -> Door:
        """The operator's way in, who acts for a merchant."""
        headers = bearer(OPERATOR_KEY)
        if merchant is not None:
            headers["Stampbook-Merchant"] = merchant
        return Door(door_to(app or self.app, **headers))

    def door_of(self, role: Role, merchant: str | None = "grocer") -> Door:
        """The way in of somebody with a key of their own."""
        secret, _ = self.keys.create(role=role, merchant=merchant, name=None)
        return Door(door_to(self.app, **bearer(secret)))

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """The writer runs."""
        ownership = Ownership(
            self.database, self.clock, owner="writer-1", lease=timedelta(seconds=10)
        )
        footing = Footing(
            database=self.database, stream=self.stream, ownership=ownership, clock=self.clock
        )
        stop = threading.Event()
        writer = Writer(footing, rules=self.rules, notary=self.notary)
        thread = threading.Thread(target=writer.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    async def intake_count(self) -> int:
        """How many commands were ever put on ``intake``."""
        with closing(self.stream.reader("intake")) as reader:
            return sum(reader.end_offsets().values())

    def command(
        self, type_: str, id_: str, data: dict[str, Any], *, source: str = "grocer"
    ) -> None:
        """Put a command on ``intake`` as others than the doors do."""
        made = command(source, type_, id_, data, rules=self.rules)
        self.producer.append("intake", [made.message(data.get("member"))])

    def award(self, points: int, *, purchase: str = "p-1", **changes: object) -> str:
        """What rewards asks for after a purchase; returns the lot."""
        lot = str(uuid5(NAMESPACE_URL, f"lot of {purchase} {changes.get('unit')}"))
        now = self.clock()
        data: dict[str, Any] = {
            "merchant": "grocer",
            "member": "1130",
            "purchase": purchase,
            "lot": lot,
            "unit": "points",
            "points": points,
            "earned_at": rfc3339(now - timedelta(days=1)),
            "expires_at": rfc3339(now + timedelta(days=365)),
            "programme": "grocer",
            "version": 1,
            "rule": "base",
            "arithmetic": {
                "amount_minor": 100 * points,
                "currency": "USD",
                "per_minor": 100,
                "points_each": 1,
            },
            **changes,
        }
        self.command("award", award_id(lot), data, source="/rewards")
        return lot

    def take_back(self, points: int, *, purchase: str = "p-1", return_id: str = "r-1") -> None:
        """What rewards asks for after a return."""
        data = {
            "merchant": "grocer",
            "member": "1130",
            "purchase": purchase,
            "return": return_id,
            "lot": str(uuid5(NAMESPACE_URL, f"lot of {purchase} None")),
            "unit": "points",
            "points": points,
            "returned_at": rfc3339(self.clock()),
            "programme": "grocer",
            "version": 1,
            "rule": "base",
            "arithmetic": {
                "currency": "USD",
                "per_minor": 100,
                "points_each": 1,
                "kept_before_minor": 100 * points,
                "kept_after_minor": 0,
                "points_before": points,
                "points_after": 0,
            },
        }
        id_ = str(uuid5(NAMESPACE_URL, f"taking back {purchase} {return_id}"))
        self.command("take-back", id_, data, source="/rewards")


class Door:
    """An HTTP client with the words of a till."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def put(
        self, path: str, body: object = None, *, wait_s: int | None = None, **headers: str
    ) -> httpx.Response:
        """PUT below ``/v1``, waiting if asked to."""
        if wait_s is not None:
            headers["Prefer"] = f"wait={wait_s}"
        return await self.http.put(f"/v1{path}", json=body, headers=headers)

    async def get(self, path: str, **params: str | int) -> Any:
        """The JSON of a good answer."""
        response = await self.http.get(f"/v1{path}", params=params)
        assert response.status_code == 200, response.text
        return response.json()

    async def buy(self, id_: str = "p-1", **changes: object) -> httpx.Response:
        """Record a purchase, and wait until it is."""
        return await self.put(f"/purchases/{id_}", a_purchase(**changes), wait_s=10)

    async def until_known(self, member: str = "1130") -> None:
        """Wait until something was recorded of a member."""
        path = f"/v1/members/{member}/balances"
        await soon(lambda: self.http.get(path), lambda answer: answer.is_success)

    async def redeem(self, id_: str, points: int, **changes: object) -> httpx.Response:
        body = {"member": "1130", "unit": "points", "points": points, **changes}
        return await self.put(f"/redemptions/{id_}", body, wait_s=10)

    async def balance(self, member: str = "1130", **params: str) -> int:
        """What can be spent, of all units together."""
        found = await self.get(f"/members/{member}/balances", **params)
        return sum(line["available"] for line in found["balances"])


def award_id(lot: str) -> str:
    """The command that asks for a lot."""
    return str(uuid5(NAMESPACE_URL, f"award of {lot}"))


def answered(response: httpx.Response, contract: str, status: int = 200) -> Any:
    """The JSON of a good answer, which keeps its contract."""
    assert response.status_code == status, response.text
    assert Contract.of(contract).errors(response.json()) == []
    return response.json()


def refused(response: httpx.Response, status: int, code: str) -> Any:
    """A problem as it ought to be."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert Contract.of("problem").errors(response.json()) == []
    assert response.json()["code"] == code
    return response.json()


def a_purchase(**changes: object) -> dict[str, Any]:
    """The body of a good purchase; a change to None leaves a field out."""
    body = {
        "member": "1130",
        "purchased_at": "2017-01-01T12:30:27-05:00",
        "currency": "USD",
        "lines": [
            {"line": "1", "sku": "milk", "quantity": 2, "amount_minor": 5_000},
            {"line": "2", "sku": "bread", "quantity": 1, "amount_minor": 300},
        ],
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def a_return(*, line: str = "1", quantity: int = 1, amount_minor: int = 2_500) -> dict[str, Any]:
    """The body of a good return of that purchase."""
    lines = [{"line": line, "quantity": quantity, "amount_minor": amount_minor}]
    return {"returned_at": "2017-02-18T10:05:00-05:00", "lines": lines}


@contextmanager
def idle(
    database: Database,
    folder: Path,
    *,
    notary: Notary | None = None,
    seals: Seals = NO_SEALS,
) -> Iterator[Ledger]:
    """A ledger whose writer is away."""
    with closing(open_stream(f"sqlite://{folder / 'stream.db'}", partitions=3)) as stream:
        stream.ensure_topics()
        with closing(stream.producer()) as producer:
            yield Ledger(database, stream, producer, notary=notary, seals=seals)


@contextmanager
def deciding(database: Database, folder: Path) -> Iterator[Ledger]:
    """A ledger whose writer decides."""
    with idle(database, folder) as ledger, ledger.deciding():
        yield ledger
