"""The demo checks signatures by the letter of Standard Webhooks."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook as Published

from stampbook.demo_receiver import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def webhook() -> Webhook:
    """As the published library signs it."""
    body = '{"position": 42, "name": "Käse"}'
    signature = Published(SECRET).sign("msg_1", NOW, body)
    return Webhook("msg_1", str(int(NOW.timestamp())), f"v1,bm9wZQ== {signature}", body.encode())


def test_takes_what_the_published_library_signed(webhook: Webhook) -> None:
    assert webhook.is_signed_with(SECRET, now_s=NOW.timestamp())


@pytest.mark.parametrize("changed", [{"body": b"{}"}, {"id": "msg_2"}, {"timestamp": "x"}])
def test_refuses_what_was_changed(webhook: Webhook, changed: dict[str, object]) -> None:
    assert not replace(webhook, **changed).is_signed_with(SECRET, now_s=NOW.timestamp())  # type: ignore[arg-type]


def test_refuses_what_is_old(webhook: Webhook) -> None:
    assert not webhook.is_signed_with(SECRET, now_s=NOW.timestamp() + 301)
