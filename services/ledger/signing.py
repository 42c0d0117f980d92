"""Statements and settlements to be kept: a signed note around the document and what proves it.

The text of the note is one line of JSON, written in the one way that there is, so that no byte of
the file is idle. The key is the documents' own, which the API holds: the log's is the writer's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.responses import Response

from services.ledger.views import proofs
from services.runtime.database import Connection
from services.runtime.notes import Signer, Verifier
from services.runtime.notes import signed as note_of
from services.runtime.problems import Problem

FORMAT = "stampbook.signed-{kind}.v1"
_TEXT = "text/plain"
SIGNED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A signed note (C2SP) around one line of JSON, see contracts/.",
        "content": {_TEXT: {"schema": {"type": "string"}}},
    }
}


@dataclass(frozen=True, slots=True)
class Seals:
    """Who vouches for what leaves the ledger to be kept."""

    signers: Sequence[Signer] = ()  # of statements and settlements
    witnesses: Sequence[Verifier] = ()  # of checkpoints, from outside


NO_SEALS = Seals()


def signed(
    connection: Connection,
    kind: str,
    document: dict[str, Any],
    positions: Sequence[int],
    signers: Sequence[Signer],
) -> Response:
    """The document, signed, with the events at these positions proven beside it.

    Raises:
        Problem: nobody signs here, or nothing of the log was ever signed.
    """
    if not signers:
        raise Problem(404, "not-signed", "this installation has no key that signs documents")
    proof = proofs.bundle(connection, proofs.events_at(connection, positions))
    if proof is None:
        raise Problem(404, "not-signed", "the log has no signed checkpoint")
    content = {"format": FORMAT.format(kind=kind), kind: document, "proof": proof}
    line = msgspec.json.encode(content, order="sorted").decode()
    note = note_of(f"{line}\n", signers)
    headers = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
    return Response(str(note), headers=headers, media_type=_TEXT)
