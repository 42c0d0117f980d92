"""Checkpoints (C2SP tlog-checkpoint): the size and the root of a log's tree, signed."""

from __future__ import annotations

import os
import secrets
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.runtime.database import Connection
from services.runtime.merkle import HASH_BYTES, Edge
from services.runtime.notes import Malformed, Note, Signer, Verifier, decoded, signed

_SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log was at one time."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read the text of a note; lines after the third may say what they like.

        Raises:
            Malformed: it is no checkpoint.
        """
        origin, size, root, *_ = [*text.split("\n"), "", "", ""]
        found = cls(origin, int(size) if size.isascii() and size.isdecimal() else -1, decoded(root))
        if not origin or str(found.size) != size or len(found.root) != HASH_BYTES:
            raise Malformed("a checkpoint is origin, size and root, a line each")
        return found

    @property
    def text(self) -> str:
        """As it is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


class Notary:
    """Signs every checkpoint of a log, with each of its keys."""

    def __init__(self, signers: Sequence[Signer]) -> None:
        self.origin = signers[0].name
        self._signers = signers

    def sign(self, connection: Connection, edge: Edge) -> None:
        """Put the tree's newest checkpoint down, in the caller's transaction."""
        checkpoint = Checkpoint(self.origin, edge.size, edge.root)
        note = str(signed(checkpoint.text, self._signers))
        row = ("events", edge.size, note)
        connection.upsert("checkpoints", ("log", "size", "note"), [row], key=("log",))

    def introduce(self, connection: Connection, edge: Edge) -> None:
        """Sign what is there, and note down whose signatures may be found from now on."""
        known = {verifier for (verifier,) in connection.rows("SELECT verifier FROM signing_keys")}
        fresh = [str(s.verifier) for s in self._signers if str(s.verifier) not in known]
        rows = [(verifier, edge.size) for verifier in fresh]
        connection.insert("signing_keys", ("verifier", "first_size"), rows)
        self.sign(connection, edge)


def newest_note(connection: Connection) -> Note | None:
    """The newest checkpoint as the log signed it; None: nobody has ever signed."""
    row = connection.row("SELECT note FROM checkpoints")
    return Note.parse(row[0]) if row else None


def signing_keys(connection: Connection) -> list[tuple[Verifier, int]]:
    """Every key that has signed checkpoints, and from which size on; the oldest first."""
    found = connection.rows("SELECT verifier, first_size FROM signing_keys ORDER BY first_size")
    return [(Verifier.parse(verifier), first_size) for verifier, first_size in found]


def cosigned(connection: Connection) -> list[tuple[Verifier, Note]]:
    """By witness, the last checkpoint that it has signed, with our lines and its own."""
    found = connection.rows("SELECT witness, note FROM cosignatures ORDER BY witness")
    return [(Verifier.parse(witness), Note.parse(note)) for witness, note in found]


def keep_cosigned(connection: Connection, witness: Verifier, size: int, note: Note) -> None:
    """Remember what a witness has signed last."""
    columns, row = ("witness", "size", "note"), (str(witness), size, str(note))
    connection.upsert("cosignatures", columns, [row], key=("witness",))


def read_keys(path: Path, origin: str) -> list[Signer]:
    """The private keys in a file, one a line; a file that does not exist is made, with a new key.

    Raises:
        Malformed: a line is no private key, or one of another log.
    """
    if not path.exists():
        _make_key(path, origin)
    signers = [Signer.parse(line) for line in path.read_text("utf-8").split("\n") if line]
    others = {signer.name for signer in signers} - {origin}
    if others or not signers:
        raise Malformed(f"{path} holds keys of {sorted(others)}, not of {origin}")
    return signers


def _make_key(path: Path, origin: str) -> None:
    """Whole or not at all; of two processes that start at once, one makes it."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    signer = Signer(origin, secrets.token_bytes(_SEED_BYTES))
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{signer}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
