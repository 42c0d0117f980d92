"""Co-signatures: what witnesses, who look at the log from outside, have signed after us."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from services.runtime import tree
from services.runtime.checkpoints import (
    Checkpoint,
    cosigned,
    keep_cosigned,
    signing_keys,
)
from services.runtime.database import Connection, Database
from services.runtime.notes import Malformed, Note, Signature, Verifier
from services.runtime.problems import Problem

_LOG = logging.getLogger(__name__)


def newest(connection: Connection, name: str) -> Note | None:
    """The newest checkpoint that a witness of this name has signed."""
    found = [note for verifier, note in cosigned(connection) if verifier.name == name]
    return max(found, key=lambda note: Checkpoint.parse(note.text).size, default=None)


def keep(database: Database, raw: bytes, known: Sequence[Verifier]) -> None:
    """Keep a checkpoint of ours with the line of a witness; an older one than is kept is dropped.

    Raises:
        Problem: it is no checkpoint, not one of this log, or no known witness has signed it.
    """
    note, checkpoint = _read(raw)
    theirs = [verifier for verifier in known if verifier.of(note)]
    if not theirs:
        raise Problem(403, "witness-unknown", "no line is by a witness that this log knows")
    if not all(verifier.has_signed(note) for verifier in theirs):
        raise Problem(422, "bad-signature", "the witness's signature is not over this checkpoint")
    with database.write() as connection:
        ours = _our_lines(connection, note)
        if not ours:
            raise Problem(409, "other-checkpoint", "this log has not signed this checkpoint")
        if checkpoint.root != tree.root_at(connection, checkpoint.size):
            # Our signature over another tree: the key was used for a second log.
            _LOG.error("signed checkpoint of another tree", extra={"size": checkpoint.size})
            raise Problem(409, "other-checkpoint", "this log has another root at that size")
        kept = {str(verifier): Checkpoint.parse(old.text) for verifier, old in cosigned(connection)}
        for verifier in theirs:
            before = kept.get(str(verifier))
            if before is None or before.size <= checkpoint.size:
                whole = Note(note.text, (*ours, *verifier.of(note)))
                keep_cosigned(connection, verifier, checkpoint.size, whole)


def _read(raw: bytes) -> tuple[Note, Checkpoint]:
    try:
        note = Note.parse(raw.decode())
        return note, Checkpoint.parse(note.text)
    except (Malformed, UnicodeDecodeError) as error:
        raise Problem(400, "not-a-note", f"this is no signed checkpoint: {error}") from error


def _our_lines(connection: Connection, note: Note) -> list[Signature]:
    return [
        line
        for verifier, _ in signing_keys(connection)
        if verifier.has_signed(note)
        for line in verifier.of(note)
    ]
