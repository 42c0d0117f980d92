"""`stampbook keys`: who may do what."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from stampbook.failures import Misused
from stampbook.session import Session, connected

app = typer.Typer(no_args_is_help=True)


class Role(StrEnum):
    """What a key is for."""

    TILL = "till"
    MERCHANT = "merchant"
    OPERATOR = "operator"
    AUDITOR = "auditor"


@app.command()
@connected
def create(
    session: Session,
    *,
    role: Annotated[Role, typer.Option(help="What the key is for.")],
    merchant: Annotated[
        str | None, typer.Option(help="Whom a till's or a merchant's key acts for.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What lists call it.")] = None,
) -> None:
    """Make a key and show it, once: only its hash is stored.

    The key alone goes to standard output. Ends with 0, or 1 if the server refuses.
    """
    if merchant is None and role in (Role.TILL, Role.MERCHANT):
        raise Misused(f"A {role}'s key acts for a merchant: add --merchant NAME.")
    wanted = {"role": role.value, "merchant": merchant, "name": name}
    made = session.client().send(
        "POST", "/v1/keys", {field: value for field, value in wanted.items() if value is not None}
    )
    if session.as_json:
        session.result(made)
        return
    session.tell(f"Key {made['id']}, for {merchant or 'all merchants'}, role {role}.")
    session.tell("It is not shown again:")
    typer.echo(made["key"])


@app.command("list")
@connected
def list_keys(session: Session) -> None:
    """Every key, without its secret."""
    keys = list(session.client().items("/v1/keys"))
    if session.as_json:
        session.result({"items": keys})
        return
    columns = ("id", "role", "merchant", "name", "created_at", "revoked_at")
    session.table(columns, [[key.get(column) for column in columns] for key in keys])


@app.command()
@connected
def revoke(
    session: Session, *, key_id: Annotated[str, typer.Argument(metavar="ID", help="From the list.")]
) -> None:
    """Take a key out of force, for good.

    Ends with 0, or 1 if there is no such key.
    """
    session.client().send("DELETE", f"/v1/keys/{key_id}")
    if session.as_json:
        session.result({"revoked": key_id})
        return
    session.tell(f"Key {key_id} is revoked; services that remembered it let go within 30 s.")
