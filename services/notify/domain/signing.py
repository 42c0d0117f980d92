"""Standard Webhooks 1.0.0: secrets, and the signature over the very bytes that are sent."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode

SECRET_BYTES = 32  # the standard allows 24 to 64
_PREFIX = "whsec_"


def secret_text(key: bytes) -> str:
    """How a key is shown to its owner."""
    return _PREFIX + b64encode(key).decode()


def secret_key(text: str) -> bytes:
    """The key that ``secret_text`` shows."""
    return b64decode(text.removeprefix(_PREFIX), validate=True)


def signed_headers(key: bytes, *, event_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The three headers of one attempt.

    Args:
        key: the endpoint's, as bytes.
        event_id: the same on every attempt and every replay; holds no full stop.
        timestamp_s: of this attempt, since 1970.
        body: the bytes that are sent.
    """
    assert "." not in event_id, "a full stop separates the signed parts"
    signed = b".".join((event_id.encode(), str(timestamp_s).encode(), body))
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": "v1," + b64encode(digest).decode(),
    }
