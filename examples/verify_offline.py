"""Checks, without a server and without Stampbook, what was kept of a signed log.

    python verify_offline.py --key KEY [--key KEY ...] FILE
    python verify_offline.py --key KEY [--key KEY ...] FILE --checkpoint NOTE --consistency PROOF

KEY       the log's public key, NAME+ID+KEY, as its operator gave it to you; for a statement or a
          settlement also the one for documents, and those of witnesses if there are any. Every
          signature has to be by one of them.
FILE      events with what proves them, the answer of GET /v1/proofs/events; or a signed statement
          or settlement: .../statements/MONTH/signed and /v1/settlements/MONTH/signed.
NOTE      a later checkpoint, the answer of GET /v1/checkpoint.
PROOF     the answer of GET /v1/proofs/consistency?from=SIZE&to=SIZE between the two.

Ends with 0 if all of it holds, with 1 if anything does not, 2 for wrong use. Nothing in a file is
passed over: files are written in one way only, so a change of any byte is a reason to reject.

What it checks is RFC 6962 (the tree) and C2SP signed-note, tlog-checkpoint and tlog-cosignature
(the signatures). It needs Python 3.11 and the package `cryptography`, and nothing of ours.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

BUNDLE = "stampbook.proof-bundle.v1"
LOG, WITNESS = 1, 4  # the kinds of keys, by the first byte of what is written
HASH_BYTES = 32
KEY_BYTES = 33


class Rejected(Exception):
    """It does not hold, and why."""


@dataclass(frozen=True)
class Key:
    """A public key that the reader trusts."""

    name: str
    key_id: bytes
    kind: int
    public: bytes


@dataclass(frozen=True)
class Checkpoint:
    """What the log says of itself: so many events, and one hash over them all."""

    origin: str
    size: int
    root: bytes


# The tree, as in RFC 6962.


def leaf_hash(content: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """The root that the leaf at an index leads to (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise Rejected(f"a tree of {size} leaves has none at {index}")
    node, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise Rejected("the proof goes on above the root")
        if node % 2 or node == last:
            found = node_hash(sibling, found)
            while node % 2 == 0 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise Rejected("the proof ends below the root")
    return found


def check_consistency(old: Checkpoint, new: Checkpoint, path: Sequence[bytes]) -> None:
    """That the newer tree begins with the older one (RFC 9162, 2.1.4.2)."""
    if old.size > new.size:
        raise Rejected(f"the log has shrunk from {old.size} events to {new.size}")
    if old.size in (0, new.size):
        expected = new.root if old.size == new.size else hashlib.sha256().digest()
        if path or old.root != expected:
            raise Rejected("two checkpoints of the same events differ: the log has two histories")
        return
    roots = _roots_of_consistency(old, new.size, path)
    if roots != (old.root, new.root):
        raise Rejected("the newer log does not begin with the older one: history was changed")


def _roots_of_consistency(old: Checkpoint, size: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    node, last = old.size - 1, size - 1
    while node % 2:
        node, last = node >> 1, last >> 1
    # If the older tree is complete it is its own first node.
    whole = [] if node else [old.root]
    hashes = [*whole, *path]
    if not hashes:
        raise Rejected("the proof of consistency is empty")
    before = after = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise Rejected("the proof goes on above the root")
        if node % 2 or node == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while node % 2 == 0 and node:
                node, last = node >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise Rejected("the proof ends below the root")
    return before, after


# Signatures, as in C2SP signed-note and tlog-cosignature.


def read_key(written: str) -> Key:
    """A public key out of NAME+ID+KEY."""
    name, _, rest = written.partition("+")
    key_id, _, encoded = rest.partition("+")
    content = decoded(encoded)
    expected = hashlib.sha256(name.encode() + b"\n" + content).digest()[:4]
    if len(content) != KEY_BYTES or content[0] not in (LOG, WITNESS) or expected.hex() != key_id:
        raise Rejected(f"{written!r} is no key, or was not copied well")
    return Key(name, expected, content[0], content[1:])


def read_note(note: str, keys: Sequence[Key]) -> tuple[str, list[Key]]:
    """The text of a signed note, and whose lines, all of them good, stand below it."""
    text, gap, below = note.rpartition("\n\n")
    if not gap or not below.endswith("\n"):
        raise Rejected("this is no signed note")
    text += "\n"
    return text, [check_line(text, line, keys) for line in below[:-1].split("\n")]


def read_checkpoint(note: str, keys: Sequence[Key]) -> Checkpoint:
    """The checkpoint in a signed note."""
    text, signers = read_note(note, keys)
    origin = text.partition("\n")[0]
    names = {key.name for key in signers if key.kind == LOG}
    if names != {origin}:
        raise Rejected(f"the checkpoint of {origin} is signed by {sorted(names) or 'nobody'}")
    match = re.fullmatch(r"[^\n]+\n(0|[1-9][0-9]*)\n([A-Za-z0-9+/=]+)\n", text)
    if match is None or len(decoded(match[2])) != HASH_BYTES:
        raise Rejected("the checkpoint is not origin, size and root")
    return Checkpoint(origin, int(match[1]), decoded(match[2]))


def check_line(text: str, line: str, keys: Sequence[Key]) -> Key:
    """Who has signed the text with this line."""
    match = re.fullmatch(r"— ([^\s+]+) ([A-Za-z0-9+/=]+)", line)
    if match is None:
        raise Rejected(f"{line!r} is no signature line")
    content = decoded(match[2])
    found = [key for key in keys if (key.name, key.key_id) == (match[1], content[:4])]
    if not found:
        raise Rejected(f"{match[1]} has signed with a key that you have not named")
    signature, message = content[4:], text.encode()
    if found[0].kind == WITNESS:
        seconds, signature = int.from_bytes(signature[:8], "big"), signature[8:]
        message = b"cosignature/v1\ntime %d\n" % seconds + message
    try:
        Ed25519PublicKey.from_public_bytes(found[0].public).verify(signature, message)
    except InvalidSignature:
        raise Rejected(f"the signature of {match[1]} is not over this text") from None
    return found[0]


# The files.


def read_json(raw: bytes) -> Any:
    """JSON that is written in the one way: keys sorted, no spaces, UTF-8."""
    try:
        found = json.loads(raw)
        written = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        is_canonical = written.encode() == raw
    except (ValueError, RecursionError):
        is_canonical = False
    if not is_canonical:
        raise Rejected("the file is not as it was written: not JSON, or laid out in another way")
    return found


def decoded(written: str) -> bytes:
    """Bytes out of base64, which has to be written in the one way."""
    try:
        found = base64.b64decode(written, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not found or base64.b64encode(found).decode() != written:
        raise Rejected(f"{written[:60]!r} is not base64")
    return found


def taken(document: Any, *kinds: tuple[str, type]) -> list[Any]:
    """The values of an object that has just these fields."""
    if not isinstance(document, dict) or sorted(document) != sorted(name for name, _ in kinds):
        raise Rejected("the file has other fields than it should")
    for name, kind in kinds:
        if type(document[name]) is not kind:
            raise Rejected(f"{name} is not what it should be")
    return [document[name] for name, _ in kinds]


def hashes_of(written: list[Any]) -> list[bytes]:
    """The hashes of a proof."""
    hashes = [decoded(each) if isinstance(each, str) else b"" for each in written]
    if any(len(each) != HASH_BYTES for each in hashes):
        raise Rejected(f"a hash has {HASH_BYTES} bytes")
    return hashes


def check_bundle(raw: bytes, keys: Sequence[Key]) -> tuple[Checkpoint, list[dict[str, Any]]]:
    """The checkpoint of a bundle, and its events, of which each is in that log at its position."""
    return check_proof(read_json(raw), keys)


def check_proof(bundle: Any, keys: Sequence[Key]) -> tuple[Checkpoint, list[dict[str, Any]]]:
    fields = (("format", str), ("checkpoint", str), ("events", list))
    name, note, events = taken(bundle, *fields)
    if name != BUNDLE:
        raise Rejected(f"this is {name!r}, not {BUNDLE!r}")
    checkpoint = read_checkpoint(note, keys)
    found, before = [], 0
    for each in events:
        fields = (("position", int), ("event", str), ("hashes", list))
        position, event, path = taken(each, *fields)
        if position <= before:
            raise Rejected(f"position {position} does not come after {before}")
        leaf = leaf_hash(event.encode())
        root = root_of_inclusion(position - 1, checkpoint.size, leaf, hashes_of(path))
        if root != checkpoint.root:
            raise Rejected(f"the event at position {position} is not the one in the log")
        found.append(json.loads(event))
        if found[-1].get("position") != position:
            raise Rejected(f"the event at position {position} says it stands elsewhere")
        before = position
    return checkpoint, found


def check_document(raw: bytes, keys: Sequence[Key]) -> tuple[Checkpoint, list[dict[str, Any]]]:
    """The checkpoint below a signed statement or settlement, and the events that prove it."""
    text, signers = read_note(raw.decode(), keys)
    content = read_json(text[:-1].encode())
    kind = "statement" if "statement" in content else "settlement"
    name, document, bundle = taken(content, ("format", str), (kind, dict), ("proof", dict))
    if name != f"stampbook.signed-{kind}.v1":
        raise Rejected(f"this is {name!r}, not a signed {kind}")
    checkpoint, events = check_proof(bundle, keys)
    names = {key.name for key in signers}
    if names != {f"{checkpoint.origin}/documents"}:
        raise Rejected(f"a {kind} of {checkpoint.origin} is signed by {sorted(names)}")
    if kind == "statement":
        try:
            check_statement(document, {event["position"]: event for event in events})
        except (KeyError, TypeError, AttributeError):
            raise Rejected("this is no statement") from None
    return checkpoint, events


def check_statement(statement: dict[str, Any], events: dict[int, dict[str, Any]]) -> None:
    """That each entry is an event of the member that was proven, and that the sums are right."""
    shown = set()
    for unit in statement["units"]:
        for entry in unit["entries"]:
            event = events.get(entry["position"], {"data": {}})
            data = event["data"]
            told = [event.get(name) for name in ("id", "type", "subject", "time", "recordedat")]
            told += [event.get("merchant"), data.get("unit"), data.get("points")]
            said = [entry["id"], f"stampbook.{entry['type']}.v1", statement["member"]]
            said += [entry[name] for name in ("at", "known_at", "merchant", "unit", "points")]
            if told != said or unit["unit"] != entry["unit"]:
                raise Rejected(f"the entry at position {entry['position']} is not what was proven")
            shown.add(entry["position"])
        change = sum(entry["change"] for entry in unit["entries"])
        closing = unit["opening"] + change - unit["lapsed"]
        if (unit["change"], unit["closing"]) != (change, closing):
            raise Rejected(f"the {unit['unit']} of the statement do not add up")
    if shown != events.keys():
        raise Rejected("events are proven that the statement does not show")


def check_growth(old: Checkpoint, new: Checkpoint, raw: bytes) -> None:
    """That a file proves that the newer log begins with the older one."""
    fields = (("from", int), ("to", int), ("hashes", list))
    from_size, to_size, path = taken(read_json(raw), *fields)
    if old.origin != new.origin:
        raise Rejected(f"the checkpoints are of two logs, {old.origin} and {new.origin}")
    if (from_size, to_size) != (old.size, new.size):
        raise Rejected(f"the proof is from {from_size} to {to_size}, not {old.size} to {new.size}")
    check_consistency(old, new, hashes_of(path))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Check events against a signed log, offline.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--key", action="append", required=True, metavar="NAME+ID+KEY")
    parser.add_argument("--checkpoint", type=Path, help="a later checkpoint")
    parser.add_argument("--consistency", type=Path, help="what proves that the log only grew")
    asked = parser.parse_args(arguments)
    if (asked.checkpoint is None) != (asked.consistency is None):
        parser.error("--checkpoint and --consistency belong together")
    try:
        keys = [read_key(written) for written in asked.key]
        raw = asked.file.read_bytes()
        check = check_document if raw.endswith(b"\n") else check_bundle
        old, events = check(raw, keys)
        print(f"{len(events)} events are in the log {old.origin} of {old.size} events.")
        if asked.checkpoint is not None:
            new = read_checkpoint(asked.checkpoint.read_bytes().decode(), keys)
            check_growth(old, new, asked.consistency.read_bytes())
            print(f"That log has only grown since, to {new.size} events.")
    except (Rejected, UnicodeDecodeError) as reason:
        print(f"REJECTED: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
