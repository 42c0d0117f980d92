"""`stampbook dead-letters`: what could not be read, and what waits for something else."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from stampbook.session import Session, connected

app = typer.Typer(no_args_is_help=True)
_PATH = "/v1/dead-letters"
_OF_LETTERS = ("id", "code", "topic", "parked_at", "detail")
_OF_WAITING = ("id", "merchant", "since", "until")

Id = Annotated[str, typer.Argument(metavar="ID", help="From the list.")]


@app.command("list")
@connected
def list_letters(
    session: Session,
    *,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Instead: returns that wait for their purchase.")
    ] = False,
) -> None:
    """What was set aside, with the reason."""
    letters = list(session.client().items(_PATH, waiting="true" if waiting else None))
    if session.as_json:
        session.result({"items": letters})
        return
    if not letters:
        session.tell("No return waits." if waiting else "No dead letters.")
        return
    columns = _OF_WAITING if waiting else _OF_LETTERS
    session.table(columns, [[letter.get(column) for column in columns] for letter in letters])
    if not waiting:
        session.tell("Next: stampbook dead-letters show ID, then retry ID or drop ID --reason …")


@app.command()
@connected
def show(session: Session, *, letter_id: Id) -> None:
    """One letter whole: why, from where, and the original message."""
    letter = session.client().get(_place(letter_id))
    if session.as_json:
        session.result(letter)
        return
    session.tables.print_json(data=letter)


@app.command()
@connected
def retry(session: Session, *, letter_id: Id) -> None:
    """Send the original message again; safe, since ids make sure that it counts once."""
    answer = session.client().send("POST", f"{_place(letter_id)}/retry")
    _say(session, answer, {"retried": letter_id}, f"Sent again: {letter_id}.")


@app.command()
@connected
def drop(
    session: Session,
    *,
    letter_id: Id,
    reason: Annotated[str, typer.Option(help="Why nobody needs it; kept with it.")],
) -> None:
    """Mark a letter as dealt with; it stays stored, with the reason."""
    answer = session.client().send("POST", f"{_place(letter_id)}/drop", {"reason": reason})
    _say(session, answer, {"dropped": letter_id}, f"Dropped: {letter_id}.")


def _place(letter_id: str) -> str:
    return f"{_PATH}/{quote(letter_id, safe='')}"


def _say(session: Session, answer: object, fallback: object, text: str) -> None:
    if session.as_json:
        session.result(fallback if answer is None else answer)
        return
    session.tell(text)
