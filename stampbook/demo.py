"""The story of `make run`: baskets come in, and everything that Stampbook does with them.

It knows the server by its public doors only; every figure it prints is an answer of the server.
"""

from __future__ import annotations

import shlex
import textwrap
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, TextIO

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from services.runtime.clock import utc_now
from stampbook.client import Client
from stampbook.demo_purchases import (
    PROGRAMME,
    Purchase,
    Sample,
    dearest,
    memorable,
    read_sample,
    to_the_present,
)
from stampbook.demo_receiver import Receiver, receiving
from stampbook.demo_server import PATIENCE_S, UNIT, Server
from stampbook.demo_words import (
    article,
    count,
    day,
    ends,
    money,
    own_command,
    why_earned,
    why_taken_back,
)
from stampbook.failures import Failure, Refused

if TYPE_CHECKING:
    from stampbook.embedded import Installation

__all__ = ("PROGRAMME", "show")

MERCHANT = "grocer"
_WIDTH_MAX = 80
_WAIT = "wait=30"
_INDENT = "   "
_ENTRIES_SHOWN = 8


class Story:
    """One telling."""

    def __init__(self, installation: Installation, console: Console, *, is_kept: bool) -> None:
        self._installation = installation
        self._is_kept = is_kept
        self._console = console
        self._client = Client(installation.url, installation.key, MERCHANT)
        self._server = Server(self._client)
        # A folder may see more than one demo: what this one does gets names of its own.
        self._name = f"demo-{utc_now():%Y%m%d-%H%M%S}"
        self._chapters = 0

    def tell(self) -> None:
        """All of it.

        Raises:
            Failure: something did not happen as it should.
        """
        self._chapter("Purchases come in")
        sample = self._feed()
        purchase = memorable(sample)
        member = purchase["member"]
        self._chapter("They became points")
        earned = self._server.entry(member, "points.earned", purchase=purchase["id"])
        self._show_statement(member)
        self._chapter("Why?")
        self._say(f"Asked: why did member {member} get these {count(earned['points'], 'point')}?")
        self._show(*why_earned(self._server.why(earned)))
        with receiving() as receiver:
            secret = self._subscribe(receiver)
            try:
                self._chapter("Points pay")
                self._redeem(member)
                self._chapter("The shop's own systems hear of it")
                self._show_webhook(receiver, secret)
            finally:
                self._client.send("DELETE", f"/v1/endpoints/{self._name}")
        self._chapter("Something comes back")
        self._return(purchase)
        self._chapter("What next")
        self._show_what_next(member)

    def _feed(self) -> Sample:
        sample = to_the_present(
            read_sample(), today=utc_now().date(), recorded=self._server.purchased_at
        )
        households = len({purchase["member"] for purchase in sample.purchases})
        self._say(
            f"{len(sample.purchases):,} baskets of {households} households of a grocer, with every "
            "line: a sample of The Complete Journey by 84.51°. They are of 2017. Points end after "
            f"a year, so all are moved by {sample.weeks} whole weeks: the last is of "
            f"{sample.last_day:%d %b %Y}."
        )
        began_s = time.monotonic()
        counts = self._server.feed(sample.purchases, self._console)
        rate = counts.answered / (time.monotonic() - began_s)
        self._say(
            f"{counts.recorded:,} recorded, {counts.repeated:,} repeated, {counts.refused:,} "
            f"refused: {rate:,.0f} a second, each on disk before it was answered."
        )
        if counts.refused:
            raise Failure("The server refused some of the sample.")
        return sample

    def _show_statement(self, member: str) -> None:
        entries = list(self._client.items(f"/v1/members/{member}/entries"))
        self._say(f"The end of member {member}'s statement, {len(entries)} entries long:")
        table = Table(box=None, pad_edge=False)
        table.add_column("day")
        table.add_column("what")
        table.add_column("points", justify="right")
        table.add_column("purchase")
        table.add_column("they end")
        for entry in entries[-_ENTRIES_SHOWN:]:
            table.add_row(
                day(entry["at"]),
                entry["type"].removeprefix("points."),
                f"{entry['change']:+d}",
                entry.get("purchase", ""),
                day(entry["expires_at"]) if "expires_at" in entry else "",
            )
        self._console.print(Padding(table, (0, 0, 0, len(_INDENT)), expand=False))
        balance = self._server.balance(member)
        self._say(f"Balance: {count(balance['available'], 'point')}.")
        if balance["expiring"]:
            self._say(f"Of these end {ends(balance['expiring'])}.")

    def _redeem(self, member: str) -> None:
        before = self._server.balance(member)["available"]
        points = max(1, before // 2)
        path = f"/v1/redemptions/{self._name}"
        body = {"member": member, "unit": UNIT, "points": points}
        self._show(f"PUT {path}", f"    {_compact(body)}")
        began_s = time.monotonic()
        outcome = self._client.send("PUT", path, body, prefer=_WAIT)
        took_ms = (time.monotonic() - began_s) * 1_000
        after = self._server.balance(member)["available"]
        self._say(
            f"{outcome['outcome'].capitalize()} in {took_ms:.0f} ms: {before} - {points} = {after}."
        )
        entry = self._server.entry(member, "points.redeemed", redemption=self._name)
        lots = self._server.why(entry)["lots"]
        self._say(f"Taken from what ends soonest, {count(len(lots), 'lot')}: {ends(lots)}.")

    def _show_webhook(self, receiver: Receiver, secret: str) -> None:
        webhook = receiver.next(timeout_s=PATIENCE_S)
        if not webhook.is_signed_with(secret, now_s=utc_now().timestamp()):
            raise Failure("A webhook arrived whose signature is wrong.")
        event = msgspec.json.decode(webhook.body)
        self._show(
            f"POST {receiver.url}",
            f"webhook-id: {webhook.id}",
            f"webhook-signature: {webhook.signatures[:32]}...  checked: valid",
            f"type: {event['type']}   position: {event['position']}",
            f"data: {_compact({k: v for k, v in event['data'].items() if k != 'lots'})}",
        )
        self._say("(Received by a small server that this demo started for a moment.)")

    def _return(self, purchase: Purchase) -> None:
        line = dearest(purchase)
        path = f"/v1/purchases/{purchase['id']}/returns/{self._name}"
        given_back = {name: line[name] for name in ("line", "quantity", "amount_minor")}
        body = {"returned_at": utc_now().isoformat(), "lines": [given_back]}
        self._show(f"PUT {path}", f"    {article(line)}: {money(line['amount_minor'])} given back")
        member = purchase["member"]
        try:
            outcome = self._client.send("PUT", path, body, prefer=_WAIT)
        except Refused as refused:
            if refused.problem.get("status") != HTTPStatus.CONFLICT:
                raise
            self._say(f"Declined: {refused} (an earlier demo gave it back).")
            return
        self._say(f"{outcome['outcome'].capitalize()}.")
        entry = self._server.entry(member, "points.taken-back", purchase=purchase["id"])
        self._say(why_taken_back(self._server.why(entry)))
        self._say(f"Balance: {count(self._server.balance(member)['available'], 'point')}.")

    def _show_what_next(self, member: str) -> None:
        installation = self._installation
        key = "$STAMPBOOK_ADMIN_KEY"
        if installation.key_file is not None:
            key = f"$(cat {shlex.quote(str(installation.key_file))})"
        command = own_command()
        self._show(
            f"Address:  {installation.url}/docs",
            f"Data:     {installation.folder}",
            *(() if self._is_kept else ("          (removed at the end; --data DIR keeps it)",)),
            "",
            f"export STAMPBOOK_URL={installation.url}",
            f"export STAMPBOOK_KEY={key}",
            f"{command} log --member {member}",
            f"{command} verify",
            'curl -H "Authorization: Bearer $STAMPBOOK_KEY" \\',
            f"     $STAMPBOOK_URL/v1/members/{member}/balances",
        )

    def _subscribe(self, receiver: Receiver) -> str:
        wish = {"url": receiver.url, "types": ["points.redeemed"]}
        secret: str = self._client.send("PUT", f"/v1/endpoints/{self._name}", wish)["secret"]
        return secret

    def _chapter(self, title: str) -> None:
        self._chapters += 1
        self._console.print(f"\n{self._chapters}. {title}", style="bold")

    def _say(self, text: str) -> None:
        """Prose, broken into lines."""
        self._show(*textwrap.wrap(text, self._console.width - len(_INDENT)))

    def _show(self, *lines: str) -> None:
        """What is to be read, or copied, as it stands."""
        for line in lines:
            self._console.print(f"{_INDENT}{line}".rstrip(), soft_wrap=True)


def show(installation: Installation, *, leave: bool, is_kept: bool, out: TextIO) -> None:
    """Tell the story; stay up afterwards unless ``leave``.

    Args:
        installation: to talk to.
        leave: end the process after the story.
        is_kept: whether the data stay where they are at the end.
        out: where to tell it.
    """
    console = Console(file=out, highlight=False, markup=False, emoji=False)
    console.width = min(console.width, _WIDTH_MAX)
    try:
        Story(installation, console, is_kept=is_kept).tell()
    except Failure as failure:
        console.print(f"\nThe demo cannot go on: {failure.text()}")
        installation.stop(failure.exit_code)
        return
    if leave:
        installation.stop(0)
    else:
        console.print("\nIt stays up until Ctrl-C.", style="bold")


def _compact(value: object) -> str:
    return msgspec.json.encode(value).decode()
