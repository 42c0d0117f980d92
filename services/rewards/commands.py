"""Awards and take-backs as the commands that the ledger gets on topic ``intake``."""

from __future__ import annotations

from typing import Final

import msgspec

from services.rewards.domain.awards import Award, Purchase, Return, TakeBack
from services.rewards.domain.programme import Programme
from services.rewards.domain.unit import OWE
from services.runtime.clock import rfc3339
from services.runtime.stream import Message

TOPIC: Final = "intake"
_SOURCE: Final = "/rewards"

Headers = tuple[tuple[str, bytes], ...]


def award_command(
    award: Award,
    purchase: Purchase,
    programme: Programme,
    *,
    member: str,
    purchased_at: str,
    headers: Headers,
) -> Message:
    """Ask for a lot. There is at most one award of a lot, so the lot's id names both."""
    lot = str(award.lot)
    command = {
        "merchant": purchase.merchant,
        "member": member,
        "purchase": purchase.purchase,
        "lot": lot,
        "unit": award.rule.unit,
        "points": award.points,
        "earned_at": purchased_at,
        "expires_at": None if award.expires_at is None else rfc3339(award.expires_at),
        **_terms(award),
        "programme": programme.name,
        "version": programme.version,
        "rule": award.rule.name,
        "arithmetic": {
            "amount_minor": purchase.amount_minor,
            "currency": programme.currency,
            "per_minor": award.rule.per_minor,
            "points_each": award.rule.points_each,
        },
    }
    return _message("award", lot, command, member=member, headers=headers)


def take_back_command(
    take_back: TakeBack,
    returned: Return,
    programme: Programme,
    *,
    member: str,
    returned_at: str,
    headers: Headers,
) -> Message:
    """Ask for what a return has undone."""
    command = {
        "merchant": returned.merchant,
        "member": member,
        "purchase": returned.purchase,
        "return": returned.return_id,
        "lot": str(take_back.lot),
        "unit": take_back.rule.unit,
        "points": take_back.points,
        "returned_at": returned_at,
        "programme": programme.name,
        "version": programme.version,
        "rule": take_back.rule.name,
        "arithmetic": {
            "currency": programme.currency,
            "per_minor": take_back.rule.per_minor,
            "points_each": take_back.rule.points_each,
            "kept_before_minor": returned.kept_before_minor,
            "kept_after_minor": returned.kept_after_minor,
            "points_before": take_back.points_before,
            "points_after": take_back.points_after,
        },
    }
    return _message("take-back", str(take_back.id), command, member=member, headers=headers)


def _terms(award: Award) -> dict[str, object]:
    """What differs from the standard; of points without terms an award says nothing more."""
    said: dict[str, object] = {}
    if award.credit_at is not None:
        said["credit_at"] = rfc3339(award.credit_at)
    if award.terms.rank:
        said["rank"] = award.terms.rank
    if award.terms.shortfall != OWE:
        said["shortfall"] = award.terms.shortfall
    if award.terms.grace_s is not None:
        said["grace_s"] = award.terms.grace_s
    return said


def _message(
    type_: str, id_: str, command: dict[str, object], *, member: str, headers: Headers
) -> Message:
    envelope = {
        "specversion": "1.0",
        "type": f"stampbook.{type_}",
        "source": _SOURCE,
        "id": id_,
        "data": command,
    }
    return Message(member, msgspec.json.encode(envelope), headers)
