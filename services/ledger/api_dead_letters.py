"""The doors to what could not be read, and to returns that wait for their purchase."""

import asyncio
from base64 import b64encode
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from services.ledger.store.returns import WaitingReturn, list_waiting
from services.runtime.auth import Keys, Role, authenticated
from services.runtime.clock import rfc3339
from services.runtime.contracts import Contract
from services.runtime.database import Database
from services.runtime.dead_letters import DeadLetter, find_letter, list_letters, settle
from services.runtime.openapi import gives, takes
from services.runtime.problems import Problem, bad_parameter
from services.runtime.stream import Message, Producer
from services.runtime.web import JSON, Page, Paging, answer, content

_ONE = gives({200: ("The letter.", "answers/dead-letter")}, {404: "unknown-dead-letter"})
_LIST: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Dead letters; or, if asked for, waiting returns.",
        "content": {
            JSON: {
                "schema": {
                    "anyOf": [
                        Contract.of("answers/dead-letters").schema,
                        Contract.of("answers/waiting-returns").schema,
                    ]
                }
            }
        },
    }
}


class State(StrEnum):
    """What became of a letter."""

    PARKED = "parked"
    RETRIED = "retried"
    DROPPED = "dropped"


_State = Annotated[State, Query(description="Only letters in this state.")]
_Waiting = Annotated[bool, Query(description="Instead: returns that wait for their purchase.")]


def routes(database: Database, producer: Producer, keys: Keys) -> APIRouter:
    """For whoever runs this."""
    router = APIRouter(prefix="/v1/dead-letters", tags=["operations"])
    reader = [Depends(authenticated(keys, Role.OPERATOR, Role.AUDITOR))]
    operator = [Depends(authenticated(keys, Role.OPERATOR))]
    letters = _Letters(database, producer)

    @router.get("", dependencies=reader, responses=_LIST)
    def get_letters(
        page: Paging, *, state: _State = State.PARKED, waiting: _Waiting = False
    ) -> Response:
        """What was set aside, with the reason."""
        return answer(letters.waiting(page) if waiting else letters.page(page, state))

    @router.get("/{letter_id}", dependencies=reader, responses=_ONE)
    def get_letter(letter_id: UUID) -> Response:
        """One letter whole, with the original message."""
        return answer(_whole(letters.find(letter_id)))

    @router.post("/{letter_id}/retry", dependencies=operator, responses=_ONE)
    async def post_retry(letter_id: UUID) -> Response:
        """Put the original message on its topic again; ids make sure that it counts once."""
        letter = await asyncio.to_thread(letters.find, letter_id)
        await letters.send_again(letter)
        return answer(_whole(await asyncio.to_thread(letters.settle, letter, State.RETRIED)))

    @router.post(
        "/{letter_id}/drop",
        dependencies=operator,
        openapi_extra=takes("commands/drop"),
        responses=_ONE,
    )
    async def post_drop(request: Request, letter_id: UUID) -> Response:
        """Nobody needs it any more; it stays stored, with the reason."""
        asked = await content(request, Contract.of("commands/drop"))
        letter = await asyncio.to_thread(letters.find, letter_id)
        return answer(
            _whole(await asyncio.to_thread(letters.settle, letter, State.DROPPED, asked["reason"]))
        )

    return router


@dataclass(frozen=True, slots=True)
class _Letters:
    """The letters in the ledger's own database."""

    database: Database
    producer: Producer

    def page(self, page: Page, state: State) -> dict[str, object]:
        """A page of letters, in the order of their ids."""
        with self.database.read() as connection:
            found = list_letters(
                connection, after=_letter_id(page.after), limit=page.limit + 1, state=state
            )
        shown = found[: page.limit]
        next_ = str(shown[-1].id) if len(found) > page.limit else None
        return {"items": [_brief(letter) for letter in shown], "next": next_}

    def waiting(self, page: Page) -> dict[str, object]:
        """A page of waiting returns."""
        with self.database.read() as connection:
            found = list_waiting(connection, after=_command(page.after), limit=page.limit + 1)
        shown = found[: page.limit]
        next_ = shown[-1].command.hex() if len(found) > page.limit else None
        return {"items": [_waiting(each) for each in shown], "next": next_}

    def find(self, letter_id: UUID) -> DeadLetter:
        """One letter.

        Raises:
            Problem: 404 ``unknown-dead-letter``.
        """
        with self.database.read() as connection:
            letter = find_letter(connection, letter_id)
        if letter is None:
            raise Problem(404, "unknown-dead-letter", f"no letter has the id {letter_id}")
        return letter

    async def send_again(self, letter: DeadLetter) -> None:
        """The same bytes, under the same key, with the same headers."""
        message = Message(letter.key, letter.value, letter.headers)
        await asyncio.wrap_future(self.producer.submit(letter.topic, [message]))

    def settle(self, letter: DeadLetter, state: State, reason: str | None = None) -> DeadLetter:
        """Note what was done with it."""
        with self.database.write() as connection:
            return settle(connection, letter, state=state, reason=reason)


def _brief(letter: DeadLetter) -> dict[str, object]:
    line: dict[str, object] = {
        "id": str(letter.id),
        "state": letter.state,
        "code": letter.code,
        "detail": letter.detail,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "key": letter.key,
        "parked_at": rfc3339(letter.parked_at),
    }
    return line if letter.reason is None else {**line, "reason": letter.reason}


def _whole(letter: DeadLetter) -> dict[str, object]:
    line = _brief(letter) | {
        "errors": letter.errors,
        "headers": [
            {"name": name, "value": b64encode(value).decode()} for name, value in letter.headers
        ],
        "value": b64encode(letter.value).decode(),
    }
    try:
        return {**line, "text": letter.value.decode()}
    except UnicodeDecodeError:
        return line


def _waiting(waiting: WaitingReturn) -> dict[str, object]:
    return {
        "id": waiting.id,
        "merchant": waiting.merchant,
        "since": rfc3339(waiting.since),
        "until": rfc3339(waiting.until),
    }


def _letter_id(after: str | None) -> UUID | None:
    try:
        return UUID(after) if after else None
    except ValueError:
        raise bad_parameter("after", "malformed", "take `next` of the page before") from None


def _command(after: str | None) -> bytes:
    try:
        return bytes.fromhex(after or "")
    except ValueError:
        raise bad_parameter("after", "malformed", "take `next` of the page before") from None
