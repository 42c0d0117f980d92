"""Bad input, as a table: what a schema can see of it, and what the caller is told.

Each line takes an example, puts a value in one place, and names the code with which that very
place is refused. `MISSING` takes the field away.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.support.contracts import example

MISSING = object()


class Bad(NamedTuple):
    """One mistake in an example that is otherwise good."""

    example: str
    pointer: str
    value: object
    code: str

    def document(self) -> Any:
        """The example with its mistake."""
        root = {"": example(self.example)}
        *path, last = ["", *(_unescaped(step) for step in self.pointer.split("/")[1:])]
        parent: Any = root
        for step in path:
            parent = parent[_key(parent, step)]
        if self.value is MISSING:
            del parent[_key(parent, last)]
        else:
            parent[_key(parent, last)] = self.value
        return root[""]

    def __str__(self) -> str:
        wrong = "nothing" if self.value is MISSING else repr(self.value)
        return f"{self.example}{self.pointer}={wrong[:40]}"


def _key(parent: object, step: str) -> Any:
    return int(step) if isinstance(parent, list) else step


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


TOO_LARGE = 10**15 + 1
BAD_AMOUNTS = (
    (-1, "out-of-range"),
    (TOO_LARGE, "out-of-range"),
    (2**63, "out-of-range"),
    (2**64, "out-of-range"),
    (10**40, "out-of-range"),
    (1.5, "wrong-type"),
    ("198", "wrong-type"),
    (True, "wrong-type"),
    (None, "wrong-type"),
    (MISSING, "missing"),
)
BAD_POINTS = ((0, "out-of-range"), *BAD_AMOUNTS)
BAD_IDS = (
    ("", "malformed"),
    ("-1130", "malformed"),
    ("ann@example.org", "malformed"),
    ("a/b", "malformed"),
    ("1130\n", "malformed"),
    ("1130\0", "malformed"),
    ("größe", "malformed"),
    ("x" * 65, "malformed"),
    (1130, "wrong-type"),
    (None, "wrong-type"),
)
BAD_INSTANTS = (
    ("2017-01-01T12:30:27", "malformed"),  # without offset
    ("2017-01-01", "malformed"),
    ("2017-01-01 12:30:27Z", "malformed"),
    ("2017-02-30T12:30:27Z", "malformed"),
    ("2017-13-01T12:30:27Z", "malformed"),
    ("2017-01-01T24:00:00Z", "malformed"),
    ("2017-01-01T12:30:60Z", "malformed"),
    ("2017-01-01T12:30:27+25:00", "malformed"),
    ("0000-01-01T00:00:00Z", "malformed"),
    ("9999-12-31T23:59:59-12:00", "malformed"),
    ("yesterday", "malformed"),
    (1483291827, "wrong-type"),
    (MISSING, "missing"),
)
BAD_DERIVED_IDS = (
    ("1", "malformed"),
    ("20DEE399-C355-5DC5-B455-6248A6D35DAF", "malformed"),
    (None, "wrong-type"),
    (MISSING, "missing"),
)
BAD_CURRENCIES = (
    ("usd", "malformed"),
    ("US", "malformed"),
    ("DOLLAR", "malformed"),
    (840, "wrong-type"),
    (MISSING, "missing"),
)
BAD_TEXTS = (
    ("", "too-short"),
    ("x" * 129, "too-long"),
    ("a\0b", "malformed"),
    ("two\nlines", "malformed"),
    (5, "wrong-type"),
)
UNKNOWN = (("red", "unknown-field"),)


def _all(example: str, pointer: str, *kinds: tuple[tuple[Any, str], ...]) -> Iterator[Bad]:
    return (Bad(example, pointer, value, code) for kind in kinds for value, code in kind)


PURCHASES = [
    *_all("commands/purchase", "/colour", UNKNOWN),
    *_all("commands/purchase.card", "/card", BAD_IDS, (("4006 3813 3393 1", "malformed"),)),
    Bad("commands/purchase.card", "/member", "1130", "not-allowed"),  # one of the two, not both
    *_all("commands/purchase", "/a~1b~0c", UNKNOWN),
    *_all("commands/purchase", "/member", BAD_IDS),
    *_all("commands/purchase", "/shop", BAD_IDS),
    *_all("commands/purchase", "/purchased_at", BAD_INSTANTS),
    *_all("commands/purchase", "/currency", BAD_CURRENCIES),
    *_all("commands/purchase", "/shipping_minor", BAD_AMOUNTS[:-1]),
    Bad("commands/purchase", "/lines", MISSING, "missing"),
    Bad("commands/purchase", "/lines", [], "too-short"),
    Bad("commands/purchase", "/lines", {}, "wrong-type"),
    Bad("commands/purchase", "/lines/0", "bananas", "wrong-type"),
    *_all("commands/purchase", "/lines/0/colour", UNKNOWN),
    *_all("commands/purchase", "/lines/0/line", BAD_IDS, ((MISSING, "missing"),)),
    *_all("commands/purchase", "/lines/1/sku", BAD_TEXTS, ((MISSING, "missing"),)),
    *_all("commands/purchase", "/lines/1/quantity", BAD_AMOUNTS),
    Bad("commands/purchase", "/lines/1/quantity", 10**9 + 1, "out-of-range"),
    *_all("commands/purchase", "/lines/3/amount_minor", BAD_AMOUNTS),
    *_all("commands/purchase", "/lines/3/tax_minor", BAD_AMOUNTS[:-1]),
    *_all("commands/purchase", "/lines/0/categories/1", BAD_TEXTS),
    Bad("commands/purchase", "/lines/0/categories", ["x"] * 17, "too-many"),
    Bad("commands/purchase", "/attributes", [], "wrong-type"),
    Bad("commands/purchase", "/attributes", {str(n): n for n in range(65)}, "too-many"),
    Bad("commands/purchase", "/attributes/channel", {"deep": 1}, "wrong-type"),
    Bad("commands/purchase", "/attributes/channel", "x" * 1025, "too-long"),
    Bad("commands/purchase", "/attributes/channel", "\x1b[2J", "malformed"),
    Bad("commands/purchase", "/attributes/" + "x" * 65, 1, "too-long"),
    Bad("commands/purchase", "/attributes/\0", 1, "malformed"),
]
RETURNS = [
    *_all("commands/return", "/member", UNKNOWN),
    *_all("commands/return", "/returned_at", BAD_INSTANTS),
    Bad("commands/return", "/lines", [], "too-short"),
    Bad("commands/return", "/lines", MISSING, "missing"),
    *_all("commands/return", "/lines/0/sku", UNKNOWN),
    *_all("commands/return", "/lines/0/line", BAD_IDS, ((MISSING, "missing"),)),
    *_all("commands/return", "/lines/0/quantity", BAD_AMOUNTS),
    *_all("commands/return", "/lines/0/amount_minor", BAD_AMOUNTS),
    *_all("commands/return.shipping", "/shipping_minor", BAD_AMOUNTS[:-1]),
]
SPENDING = [
    *_all("commands/redemption", "/colour", UNKNOWN),
    *_all("commands/redemption", "/member", BAD_IDS, ((MISSING, "missing"),)),
    *_all("commands/redemption.card", "/card", BAD_IDS),
    Bad("commands/redemption.card", "/member", "1130", "not-allowed"),
    *_all("commands/redemption", "/unit", BAD_IDS, ((MISSING, "missing"), ("Points", "malformed"))),
    *_all("commands/redemption", "/points", BAD_POINTS),
    *_all("commands/redemption", "/purchase", BAD_IDS),
    *_all("commands/redemption.elsewhere", "/merchant", BAD_IDS),
    *_all("commands/reversal", "/redemption", UNKNOWN),
    *_all("commands/reversal.part", "/points", BAD_POINTS[:-1]),
]
BELONGINGS = [
    *_all("commands/claim", "/colour", UNKNOWN),
    *_all("commands/claim", "/member", BAD_IDS, ((MISSING, "missing"),)),
    *_all("commands/card", "/colour", UNKNOWN),
    *_all("commands/card", "/member", BAD_IDS, ((MISSING, "missing"),)),
    *_all("commands/card", "/blocked", (("true", "wrong-type"), (1, "wrong-type"))),
]
DERIVED = [
    *_all("commands/award", "/colour", UNKNOWN),
    *_all("commands/award", "/lot", BAD_DERIVED_IDS),
    *_all("commands/award", "/points", BAD_POINTS),
    *_all("commands/award", "/earned_at", BAD_INSTANTS),
    *_all("commands/award", "/expires_at", BAD_INSTANTS),
    *_all("commands/award", "/version", ((0, "out-of-range"), ("1", "wrong-type"))),
    *_all("commands/award", "/arithmetic/per_minor", BAD_POINTS),
    *_all("commands/take-back", "/points", BAD_POINTS),
    *_all("commands/take-back", "/arithmetic/points_after", BAD_AMOUNTS),
    *_all("commands/expiry", "/lot", BAD_DERIVED_IDS),
    *_all("commands/lapse", "/return", (("r1", "malformed"), ("a/b/c", "malformed"))),
]
ENVELOPES = [
    Bad("commands/envelope", "/specversion", "0.3", "not-allowed"),
    Bad("commands/envelope", "/type", "stampbook.wish", "not-allowed"),
    Bad("commands/envelope", "/type", "stampbook.award", "not-allowed"),  # not the merchant's
    Bad("commands/envelope", "/type", MISSING, "missing"),
    Bad("commands/envelope", "/source", "/elsewhere", "malformed"),
    *_all("commands/envelope", "/id", BAD_IDS, ((MISSING, "missing"),)),
    Bad("commands/envelope", "/data", "bananas", "wrong-type"),
    Bad("commands/envelope", "/data", MISSING, "missing"),
    Bad("commands/envelope", "/datacontenttype", "text/xml", "malformed"),
    Bad("commands/envelope", "/Upper", "x", "malformed"),
    Bad("commands/envelope", "/traceparent", {}, "wrong-type"),
    Bad("commands/envelope.return", "/id", "r1", "malformed"),
    Bad("commands/envelope.claim", "/id", "31198459571", "malformed"),
    Bad("commands/envelope.award", "/id", "31198459568", "malformed"),
    Bad("commands/envelope.award", "/type", "stampbook.purchase", "not-allowed"),
    Bad("commands/envelope.lapse", "/type", "stampbook.award", "not-allowed"),
    Bad("batch-line", "/type", "award", "not-allowed"),
    Bad("batch-line", "/type", MISSING, "missing"),
    *_all("batch-line", "/id", BAD_IDS, ((MISSING, "missing"),)),
    Bad("batch-line.return", "/id", "r1", "malformed"),
]
SETTINGS = [
    *_all("commands/endpoint", "/colour", UNKNOWN),
    Bad("commands/endpoint", "/url", "ftp://shop.example", "malformed"),
    Bad("commands/endpoint", "/url", "https://shop.example/a b", "malformed"),
    Bad("commands/endpoint", "/url", "https://" + "x" * 2048, "too-long"),
    Bad("commands/endpoint", "/url", MISSING, "missing"),
    Bad("commands/endpoint", "/types", MISSING, "missing"),
    Bad("commands/endpoint", "/types", [], "too-short"),
    Bad("commands/endpoint", "/types", ["*", "*"], "repeated"),
    Bad("commands/endpoint", "/types/0", "*.earned", "malformed"),
    Bad("commands/endpoint", "/types/0", "points.", "malformed"),
    Bad("commands/endpoint", "/ordering", "random", "not-allowed"),
    Bad("commands/endpoint", "/from", "middle", "malformed"),
    Bad("commands/endpoint", "/from", -1, "out-of-range"),
    Bad("commands/endpoint", "/from", None, "wrong-type"),
    Bad("commands/replay", "/after", MISSING, "missing"),
    Bad("commands/replay", "/after", -1, "out-of-range"),
    Bad("commands/replay.since", "/after", 7, "not-allowed"),  # one of the two, not both
    *_all("commands/replay.since", "/since", BAD_INSTANTS[:-1]),
    Bad("commands/replay", "/only", "some", "not-allowed"),
    Bad("commands/replay", "/types/0", "", "malformed"),
    Bad("commands/key", "/role", "owner", "not-allowed"),
    Bad("commands/key", "/role", MISSING, "missing"),
    Bad("commands/key", "/merchant", MISSING, "missing"),
    *_all("commands/key", "/name", BAD_TEXTS),
]
_EARN = "/rules/base/earn"
_UNIT = "/units/points"
PROGRAMMES = [
    *_all("programme", "/colour", UNKNOWN),
    *_all("programme", "/programme", BAD_IDS, ((MISSING, "missing"),)),
    *_all("programme", "/currency", BAD_CURRENCIES),
    *_all("programme", "/time_zone", (("../etc/passwd", "malformed"), (MISSING, "missing"))),
    *_all("programme", "/merchants", (([], "too-short"), (["a", "a"], "repeated"))),
    *_all("programme", "/units", (({}, "too-short"), (MISSING, "missing"))),
    *_all("programme", "/units/Points", (({}, "malformed"),)),
    *_all("programme", "/units/points/colour", UNKNOWN),
    *_all(
        "programme",
        "/units/points/expires_after",
        (("12 months", "malformed"), ("P-1M", "malformed"), ("P1.5M", "malformed")),
        (("P9M1Y", "malformed"), ("P999999Y", "malformed"), (12, "wrong-type")),
    ),
    *_all("programme.terms", f"{_UNIT}/expires_after", (("P12M", "not-allowed"),)),  # not both
    *_all("programme.terms", f"{_UNIT}/expires", (("P12M", "wrong-type"), ([], "wrong-type"))),
    *_all("programme.terms", f"{_UNIT}/expires/before", UNKNOWN),
    *_all("programme.terms", f"{_UNIT}/expires/end_of", (("week", "not-allowed"),)),
    *_all("programme.terms", f"{_UNIT}/expires/end_of", ((MISSING, "missing"),)),
    *_all("programme.terms", f"{_UNIT}/expires/after", (("a year", "malformed"),)),
    *_all("programme.terms", f"{_UNIT}/credited_after", (("-P1D", "malformed"),)),
    *_all("programme.terms", f"{_UNIT}/credited_after", ((14, "wrong-type"),)),
    *_all("programme.terms", f"{_UNIT}/spent_rank", ((-1, "out-of-range"), (0.5, "wrong-type"))),
    *_all("programme.terms", f"{_UNIT}/spent_rank", ((1_001, "out-of-range"),)),
    *_all("programme.terms", f"{_UNIT}/when_spent", (("forgive", "not-allowed"),)),
    *_all("programme.terms", f"{_UNIT}/grace", (("P1M", "malformed"), ("PT1S", "malformed"))),
    *_all("programme", "/rules", (({}, "too-short"), ([], "wrong-type"), (MISSING, "missing"))),
    *_all("programme", "/rules/base/when", UNKNOWN),
    *_all("programme", "/rules/base/on", (("return", "not-allowed"), (MISSING, "missing"))),
    *_all("programme", "/rules/base/earn", ((MISSING, "missing"), (1, "wrong-type"))),
    *_all("programme", f"{_EARN}/colour", UNKNOWN),
    *_all("programme", f"{_EARN}/unit", BAD_IDS, ((MISSING, "missing"),)),
    *_all("programme", f"{_EARN}/points", BAD_POINTS, ((10**6 + 1, "out-of-range"),)),
    *_all(
        "programme",
        f"{_EARN}/per",
        (("-10.00", "malformed"), ("0", "malformed"), ("0.0000", "malformed")),
        (("1.00001", "malformed"), ("1e3", "malformed"), ("010", "malformed"), ("", "malformed")),
        ((10, "wrong-type"), (10.5, "wrong-type"), (MISSING, "missing")),
    ),
]
EVENTS = [
    *_all("events/points.earned.v1", "/colour", UNKNOWN),
    *_all("events/points.earned.v1", "/id", BAD_DERIVED_IDS),
    *_all("events/points.earned.v1", "/subject", ((MISSING, "missing"),)),
    *_all("events/points.earned.v1", "/position", ((0, "out-of-range"), ("1", "wrong-type"))),
    *_all("events/points.earned.v1", "/type", (("stampbook.points.earned", "not-allowed"),)),
    *_all("events/points.earned.v1", "/data/points", BAD_POINTS),
    *_all("events/points.taken-back.v1", "/data/owed", BAD_AMOUNTS),
]
BAD_INPUT = [
    *PURCHASES,
    *RETURNS,
    *SPENDING,
    *BELONGINGS,
    *DERIVED,
    *ENVELOPES,
    *SETTINGS,
    *PROGRAMMES,
    *EVENTS,
]
