"""Compares what was asked for with what the log says, promise by promise.

It knows the commands, what was answered, and what anybody can read from outside; of Stampbook's
own code it uses nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.chaos.commands import UNIT, Command
from tests.chaos.journal import ACCEPTED, DECLINED, RECORDED, Journal, Line
from tests.chaos.model import balances_from_commands, books_from_log
from tests.support.grocer import points_for, year_after

Json = dict[str, Any]
Faults = Iterator[str]

_EVENT_OF = {
    "purchase": "purchase.recorded",
    "return": "return.recorded",
    "redemption": "points.redeemed",
    "reversal": "points.restored",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known when everything is quiet."""

    journal: Journal
    missing: Mapping[str, int]  # what was still to come when we stopped waiting
    events: Sequence[Json]  # the log, in its order
    outcomes: Mapping[str, Json]  # by "TYPE ID"
    balances: Mapping[str, Mapping[str, Json]]  # by member and unit
    balances_at: datetime
    webhooks: Sequence[tuple[str, Json]]  # webhook-id and event, in order of arrival
    bad_signatures: int
    letters: Sequence[tuple[int, int, bytes]]
    topic: (
        Sequence[tuple[int, Json]] | None
    )  # partition and event of topic `ledger`; None: no Kafka
    verdict: Json

    def recorded(self, type_: str) -> dict[tuple[str, str], list[Json]]:
        """Events of commands of a type, by merchant and id."""
        found: dict[tuple[str, str], list[Json]] = {}
        for event in self.events:
            if event["type"] == f"stampbook.{_EVENT_OF[type_]}.v1":
                found.setdefault((event["merchant"], id_of(type_, event["data"])), []).append(event)
        return found


def id_of(type_: str, data: Json) -> str:
    """A command's id, in its event."""
    if type_ == "return":
        return f"{data['purchase']}/{data['return']}"
    return str(data["purchase" if type_ == "purchase" else "redemption"])


def positions_are_gap_free(facts: Facts) -> Faults:
    positions = [event["position"] for event in facts.events]
    if positions != list(range(1, len(positions) + 1)):
        yield f"{len(positions)} positions up to {max(positions, default=0)}"
    if len({event["id"] for event in facts.events}) != len(facts.events):
        yield "two events have the same id"


def nothing_acknowledged_is_lost(facts: Facts) -> Faults:
    purchases = facts.recorded("purchase").keys()
    for type_ in _EVENT_OF:
        recorded = facts.recorded(type_)
        for line in facts.journal.of_type(type_):
            command = line.command
            name = line.label
            outcome = facts.outcomes.get(name, {}).get("outcome")
            events = recorded.get((command.merchant, command.id), [])
            # A return waits for as long as its purchase, which nobody acknowledged, is not there.
            parent = (command.merchant, command.id.partition("/")[0])
            may_wait = type_ == "return" and parent not in purchases
            decided = {RECORDED, DECLINED, ACCEPTED} if may_wait else {RECORDED, DECLINED}
            if line.is_acknowledged and outcome not in decided:
                yield f"{name} was acknowledged, and is {outcome}"
            if (outcome == RECORDED) != bool(events):
                yield f"{name} is {outcome}, and the log has {len(events)} events of it"
            if line.answers - {ACCEPTED, outcome}:
                yield f"{name} is {outcome}, and was answered {line.answers}"


def nothing_is_recorded_twice_or_made_up(facts: Facts) -> Faults:
    for type_ in _EVENT_OF:
        commands = {
            (line.command.merchant, line.command.id): line.command
            for line in facts.journal.of_type(type_)
        }
        for name, events in facts.recorded(type_).items():
            if len(events) != 1:
                yield f"{type_} {name} stands {len(events)} times in the log"
            if name not in commands:
                yield f"nobody sent {type_} {name}"
            elif not has_content_of(commands[name], events[0]):
                yield f"{type_} {name} was recorded as {events[0]['data']}"


def has_content_of(command: Command, event: Json) -> bool:
    """What was sent is what was recorded."""
    if command.type == "reversal":
        return bool(
            event["data"]["points"] == command.content.get("points", event["data"]["points"])
        )
    sent = {k: v for k, v in command.content.items() if k != "member"}
    return event.get("subject") == command.member and sent.items() <= event["data"].items()


def each_purchase_earns_what_it_should_once(facts: Facts) -> Faults:
    earned: defaultdict[str, list[Json]] = defaultdict(list)
    for event in facts.events:
        if event["type"] == "stampbook.points.earned.v1" and event["data"]["unit"] == UNIT:
            earned[event["data"]["purchase"]].append(event)
    recorded = facts.recorded("purchase")
    for line in facts.journal.of_type("purchase"):
        command = line.command
        is_recorded = (command.merchant, command.id) in recorded
        points = points_for(command.amount_minor) if is_recorded else 0
        found = [event["data"]["points"] for event in earned[command.id]]
        if found != ([points] if points else []):
            yield f"purchase {command.id} has earned {found}, not {points}"
        for event in earned[command.id]:
            end = datetime.fromisoformat(event["data"]["expires_at"])
            if end != year_after(command.content["purchased_at"]):
                yield f"the points of purchase {command.id} end {end}"


def each_return_takes_back_what_it_should_once(facts: Facts) -> Faults:
    taken: Counter[str] = Counter()
    for event in facts.events:
        if event["type"] == "stampbook.points.taken-back.v1":
            taken[id_of("return", event["data"])] += event["data"]["points"]
    kept = {
        line.command.id: line.command.amount_minor for line in facts.journal.of_type("purchase")
    }
    expected: Counter[str] = Counter()
    for event in facts.events:
        if event["type"] == "stampbook.return.recorded.v1":
            purchase, amount = event["data"]["purchase"], event["data"]["amount_minor"]
            points = points_for(kept[purchase]) - points_for(kept[purchase] - amount)
            expected[id_of("return", event["data"])] = points
            kept[purchase] -= amount
    for return_ in taken.keys() | expected.keys():
        if taken[return_] != expected[return_]:
            yield f"return {return_} took back {taken[return_]}, not {expected[return_]}"


def balances_are_what_the_commands_come_to(facts: Facts) -> Faults:
    recorded = [
        facts.journal.lines[merchant, type_, id_].command
        for type_ in ("purchase", "return", "redemption", "reversal")
        for merchant, id_ in facts.recorded(type_)
        if (merchant, type_, id_) in facts.journal.lines
    ]
    redemptions = {line.command.id: line.command for line in facts.journal.of_type("redemption")}
    expected = balances_from_commands(recorded, redemptions=redemptions, now=facts.balances_at)
    for member, points in expected.items():
        found = facts.balances[member].get(UNIT, {"available": 0})["available"]
        if found != points:
            yield f"{member} has {found} points, not {points}"


def lots_are_what_the_log_comes_to(facts: Facts) -> Faults:
    for member, book in books_from_log(facts.events).items():
        yield from (f"{member}: {fault}" for fault in book.faults)
        for unit, found in facts.balances[member].items():
            expected = book.balance(unit, at=facts.balances_at)
            if found["available"] != expected:
                yield f"{member} has {found['available']} {unit}, not {expected}"
            ending = sum(part["points"] for part in found["expiring"])
            if ending != max(0, expected):
                yield f"{member}'s {unit} end as {found['expiring']}"


def what_came_first_is_recorded_first(facts: Facts) -> Faults:
    """What was acknowledged before the next was sent stands before it, member by member."""
    placed: defaultdict[str, list[tuple[int, Line]]] = defaultdict(list)
    for type_ in ("purchase", "redemption"):
        recorded = facts.recorded(type_)
        for line in facts.journal.of_type(type_):
            for event in recorded.get((line.command.merchant, line.command.id), ()):
                placed[line.command.member].append((event["position"], line))
    for member, lines in placed.items():
        acknowledged_later_s = float("inf")
        for position, line in sorted(lines, key=lambda each: each[0], reverse=True):
            if line.first_sent_at_s > acknowledged_later_s:
                yield f"{member}: position {position} was sent after a later one was acknowledged"
            if line.is_acknowledged:
                acknowledged_later_s = min(acknowledged_later_s, line.acknowledged_at_s)


def the_topic_is_the_log(facts: Facts) -> Faults:
    if facts.topic is None:
        return
    by_id = {event["id"]: event for event in facts.events}
    first: dict[str, tuple[int, Json]] = {}
    for partition, event in facts.topic:
        first.setdefault(event["id"], (partition, event))
    if first.keys() != by_id.keys():
        yield f"{len(first)} events on the topic, {len(by_id)} in the log"
    newest: Counter[int] = Counter()
    for id_, (partition, event) in first.items():
        if event != by_id.get(id_):
            yield f"the topic has another {id_}"
        if event["position"] < newest[partition]:
            yield f"partition {partition}: {event['position']} after {newest[partition]}"
        newest[partition] = event["position"]
    places = defaultdict(set)
    for partition, event in first.values():
        places[event.get("subject")].add(partition)
    yield from (f"{m} is in partitions {p}" for m, p in places.items() if m and len(p) > 1)


def webhooks_bring_everything_in_order(facts: Facts) -> Faults:
    by_id = {event["id"]: event for event in facts.events}
    first: dict[str, Json] = {}
    for id_, event in facts.webhooks:
        first.setdefault(id_, event)
    missing = by_id.keys() - first.keys()
    if missing:
        yield f"{len(missing)} events never arrived"
    if any(event != by_id.get(id_) for id_, event in facts.webhooks):
        yield "an event arrived that is not as in the log"
    if facts.bad_signatures:
        yield f"{facts.bad_signatures} signatures are wrong"
    newest: Counter[str] = Counter()
    for event in first.values():
        member = str(event.get("subject", event["id"]))
        if event["position"] < newest[member]:
            yield f"{member}: {event['position']} arrived after {newest[member]}"
        newest[member] = event["position"]


def rubbish_is_set_aside_once(facts: Facts) -> Faults:
    found = Counter((partition, offset) for partition, offset, _ in facts.letters)
    values = {(partition, offset): value for partition, offset, value in facts.letters}
    for partition, offset, value in facts.journal.garbage:
        if found[partition, offset] != 1 or values[partition, offset] != value:
            yield f"what lies at {partition}/{offset} has {found[partition, offset]} letters"
    for place, value in values.items():
        if value not in facts.journal.garbage_sent:
            yield f"a letter about {place}, where nobody put rubbish: {value[:200]!r}"


def everything_comes_to_rest(facts: Facts) -> Faults:
    yield from (f"{count} {what} are missing" for what, count in facts.missing.items())


def nobody_got_a_strange_answer(facts: Facts) -> Faults:
    yield from facts.journal.surprises


def verify_agrees(facts: Facts) -> Faults:
    if not facts.verdict["ok"]:
        yield str(facts.verdict)


PROMISES: Sequence[Callable[[Facts], Iterable[str]]] = (
    everything_comes_to_rest,
    nobody_got_a_strange_answer,
    positions_are_gap_free,
    nothing_acknowledged_is_lost,
    nothing_is_recorded_twice_or_made_up,
    each_purchase_earns_what_it_should_once,
    each_return_takes_back_what_it_should_once,
    balances_are_what_the_commands_come_to,
    lots_are_what_the_log_comes_to,
    what_came_first_is_recorded_first,
    the_topic_is_the_log,
    webhooks_bring_everything_in_order,
    rubbish_is_set_aside_once,
    verify_agrees,
)


def broken_promises(facts: Facts) -> dict[str, list[str]]:
    """Every promise by its name, with what breaks it; all empty: all is well."""
    return {promise.__name__.replace("_", " "): list(promise(facts)) for promise in PROMISES}
