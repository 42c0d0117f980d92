"""Signatures: the published vectors, and what the receivers' own library says."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from services.notify.domain.signing import (
    SECRET_BYTES,
    secret_key,
    secret_text,
    signed_headers,
)

SECRET = "whsec_plJ3nmyCDGBKInavdOK15jsl"
BODY = b'{"event_type":"ping","data":{"success":true}}'


def test_signs_the_published_vector() -> None:
    headers = signed_headers(
        secret_key(SECRET), event_id="msg_loFOjxBNrRLzqYUf", timestamp_s=1731705121, body=BODY
    )

    assert headers == {
        "webhook-id": "msg_loFOjxBNrRLzqYUf",
        "webhook-timestamp": "1731705121",
        "webhook-signature": "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
    }


def test_refuses_an_id_that_would_make_the_signed_parts_ambiguous() -> None:
    with pytest.raises(AssertionError):
        signed_headers(b"k" * SECRET_BYTES, event_id="a.b", timestamp_s=1, body=b"")


@given(st.binary(min_size=24, max_size=64))
def test_a_secret_is_the_text_of_its_key(key: bytes) -> None:
    assert secret_key(secret_text(key)) == key
    assert secret_text(key).startswith("whsec_")


@given(
    key=st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES),
    value=st.dictionaries(st.text(max_size=5), st.text(max_size=20)),
)
def test_the_receivers_library_agrees(key: bytes, value: dict[str, str]) -> None:
    body = json.dumps(value).encode()
    now_s = int(datetime.now(UTC).timestamp())

    headers = signed_headers(key, event_id="0b0e", timestamp_s=now_s, body=body)

    assert Webhook(secret_text(key)).verify(body, headers) == value
