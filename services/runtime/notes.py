"""Signed notes (C2SP signed-note): text with lines below it that say who vouches for it.

Keys are written as Go's ``note`` package and the transparency tools write them: a public one as
``NAME+ID+KEY``, a private one as ``PRIVATE+KEY+NAME+ID+KEY``.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

NAME = re.compile(r"[^\s+\x00-\x1f]{1,128}")
_ED25519, _COSIGNATURE = 1, 4  # signature types of C2SP
_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+=*)")
_SIGNATURES_MAX = 100
_ID_BYTES, _TIME_BYTES = 4, 8


class Malformed(ValueError):
    """Not a note, or not a key, as C2SP writes them."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One line below the text."""

    name: str
    key_id: bytes
    content: bytes

    @property
    def line(self) -> str:
        """As it stands in a note."""
        return f"— {self.name} {b64encode(self.key_id + self.content).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text, and who signed it."""

    text: str  # ends with a line feed
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, written: str) -> Note:
        """Read a note.

        Raises:
            Malformed: it is none.
        """
        text, gap, below = written.rpartition("\n\n")
        lines = below.split("\n")
        is_note = gap and below.endswith("\n") and 1 < len(lines) <= _SIGNATURES_MAX + 1
        if not is_note or re.search(r"[\x00-\x09\x0b-\x1f]", written):
            raise Malformed("a signed note is text, an empty line, and signature lines")
        return cls(f"{text}\n", tuple(_signature(line) for line in lines[:-1]))

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(signature.line for signature in self.signatures)}"


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key with a name: the log's own, or a witness's."""

    name: str
    kind: int
    key: bytes

    @classmethod
    def parse(cls, written: str) -> Verifier:
        """Read ``NAME+ID+KEY``.

        Raises:
            Malformed: it is no Ed25519 key of a log or a witness.
        """
        name, key_id, key = _key_parts(written)
        verifier = cls(name, key[0], key[1:])
        if verifier.key_id.hex() != key_id:
            raise Malformed(f"the key of {name} was not copied well: its id is another")
        return verifier

    @property
    def key_id(self) -> bytes:
        """Tells keys of one name apart."""
        return _key_id(self.name, self.kind, self.key)

    @property
    def is_witness(self) -> bool:
        """Whether it signs what others have written, with the time at which it looked."""
        return self.kind == _COSIGNATURE

    def __str__(self) -> str:
        return (
            f"{self.name}+{self.key_id.hex()}+{b64encode(bytes([self.kind]) + self.key).decode()}"
        )

    def has_signed(self, note: Note) -> bool:
        """Whether a line of the note is this key's, and good."""
        return any(self._is_good(note.text, signature) for signature in self.of(note))

    def of(self, note: Note) -> list[Signature]:
        """The lines that say they are this key's."""
        mine = (self.name, self.key_id)
        return [each for each in note.signatures if (each.name, each.key_id) == mine]

    def _is_good(self, text: str, signature: Signature) -> bool:
        content, message = signature.content, text.encode()
        if self.is_witness:
            time = int.from_bytes(content[:_TIME_BYTES])
            content = content[_TIME_BYTES:]
            message = b"cosignature/v1\ntime %d\n" % time + message
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(content, message)
        except InvalidSignature:
            return False
        return True


class Signer:
    """A private key with a name."""

    def __init__(self, name: str, seed: bytes) -> None:
        self.name = name
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(name, _ED25519, self._key.public_key().public_bytes_raw())
        self._key_id = self.verifier.key_id

    @classmethod
    def parse(cls, written: str) -> Signer:
        """Read ``PRIVATE+KEY+NAME+ID+KEY``.

        Raises:
            Malformed: it is no private Ed25519 key. What it is, is not said.
        """
        if not written.startswith("PRIVATE+KEY+"):
            raise Malformed("a private key begins with PRIVATE+KEY+")
        name, key_id, key = _key_parts(written.removeprefix("PRIVATE+KEY+"))
        signer = cls(name, key[1:])
        if key[0] != _ED25519 or signer.verifier.key_id.hex() != key_id:
            raise Malformed(f"the private key of {name} was not copied well")
        return signer

    def __str__(self) -> str:
        key = b64encode(bytes([_ED25519]) + self._seed).decode()
        return f"PRIVATE+KEY+{self.name}+{self._key_id.hex()}+{key}"

    def sign(self, text: str) -> Signature:
        """The line for below a text."""
        return Signature(self.name, self._key_id, self._key.sign(text.encode()))


def signed(text: str, signers: Sequence[Signer]) -> Note:
    """The text, signed by all of them."""
    return Note(text, tuple(signer.sign(text) for signer in signers))


def decoded(written: str) -> bytes:
    """Bytes out of base64 that is written in the one way there is.

    Raises:
        Malformed: it is something else.
    """
    try:
        found = b64decode(written, validate=True)
    except (NotBase64, ValueError):
        found = b""
    if b64encode(found).decode() != written:
        raise Malformed("this is not base64")
    return found


def _signature(line: str) -> Signature:
    match = _LINE.fullmatch(line)
    if match is None:
        raise Malformed("a signature line is a dash, a name and base64")
    content = decoded(match[2])
    return Signature(match[1], content[:_ID_BYTES], content[_ID_BYTES:])


def _key_parts(written: str) -> tuple[str, str, bytes]:
    name, _, rest = written.partition("+")
    key_id, _, encoded = rest.partition("+")
    key = decoded(encoded)
    if not NAME.fullmatch(name) or len(key) != 33 or key[0] not in {_ED25519, _COSIGNATURE}:  # noqa: PLR2004
        raise Malformed("a key is NAME+ID+KEY: eight hexadecimal digits, and base64 of 33 bytes")
    return name, key_id, key


def _key_id(name: str, kind: int, key: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + bytes([kind]) + key).digest()[:_ID_BYTES]
