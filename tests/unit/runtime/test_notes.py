"""Signed notes and their keys, as Go's note package and the transparency tools write them."""

from __future__ import annotations

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.runtime.notes import Malformed, Note, Signature, Signer, Verifier, signed

# The example in the documentation of Go's golang.org/x/mod/sumdb/note.
PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXg"
    "KvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
NOTE = f"{TEXT}\n{LINE}"


def test_signs_as_go_does() -> None:
    assert str(signed(TEXT, [Signer.parse(PRIVATE)])) == NOTE


def test_keys_are_written_as_go_writes_them() -> None:
    signer = Signer.parse(PRIVATE)

    assert (str(signer), str(signer.verifier)) == (PRIVATE, PUBLIC)
    assert Verifier.parse(PUBLIC) == signer.verifier


def test_a_note_is_read_as_it_was_written() -> None:
    note = Note.parse(NOTE)

    assert (note.text, str(note)) == (TEXT, NOTE)
    assert Verifier.parse(PUBLIC).has_signed(note)


def test_another_text_is_not_signed() -> None:
    note = Note.parse(NOTE.replace("your problem,", "my problem,"))

    assert not Verifier.parse(PUBLIC).has_signed(note)


def test_another_ones_line_is_not_mine() -> None:
    note = Note.parse(NOTE.replace("PeterNeumann", "LeslieLamport"))

    assert not Verifier.parse(PUBLIC).has_signed(note)


def test_a_witness_signs_with_the_time() -> None:
    key = Ed25519PrivateKey.generate()
    witness = Verifier("witness.example/w1", 4, key.public_key().public_bytes_raw())
    message = b"cosignature/v1\ntime 1679315147\n" + TEXT.encode()
    content = (1679315147).to_bytes(8) + key.sign(message)
    line = Signature(witness.name, witness.key_id, content)

    note = Note(TEXT, (line,))

    assert Verifier.parse(str(witness)).has_signed(Note.parse(str(note)))
    later = (1679315148).to_bytes(8) + content[8:]
    assert not witness.has_signed(Note(TEXT, (Signature(witness.name, witness.key_id, later),)))


@pytest.mark.parametrize(
    "written",
    [
        "",
        TEXT,
        f"{TEXT}{LINE}",
        f"{TEXT}\n",
        NOTE.rstrip("\n"),
        NOTE.replace("— ", "- "),
        NOTE.replace("AM=", "AN="),  # the same bytes, written in another way
        NOTE.replace("AM=\n", "AM=\r\n"),
        NOTE + LINE * 100,
    ],
)
def test_what_is_no_note_is_refused(written: str) -> None:
    with pytest.raises(Malformed):
        Note.parse(written)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "PeterNeumann",
        PUBLIC.replace("c74f20a3", "c74f20a4"),
        PUBLIC.replace("Neumann", " Neumann"),
        PUBLIC[:-4],
        "PeterNeumann+c74f20a3+" + b64encode(b"\x02" + bytes(32)).decode(),
        PRIVATE,
    ],
)
def test_what_is_no_public_key_is_refused(written: str) -> None:
    with pytest.raises(Malformed):
        Verifier.parse(written)


@pytest.mark.parametrize("written", [PUBLIC, PRIVATE.replace("c74f20a3", "c74f20a4")])
def test_what_is_no_private_key_is_refused_and_not_repeated(written: str) -> None:
    with pytest.raises(Malformed) as refused:
        Signer.parse(written)

    assert "AYEK" not in str(refused.value)
