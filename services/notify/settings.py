"""Every knob of notify."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import RuntimeSettings


class NotifySettings(RuntimeSettings):
    """``NOTIFY_REQUEST_TIMEOUT_S=5`` sets ``request_timeout_s``."""

    model_config = SettingsConfigDict(env_prefix="NOTIFY_")

    ledger_url: str = Field(
        default="http://127.0.0.1:8080",
        description="The ledger's API, which knows whose key is whose.",
    )
    allow_loopback: bool = Field(
        default=False,
        description="Let endpoints be on this very machine: for development and the demo.",
    )
    request_timeout_s: PositiveFloat = Field(
        default=15.0, description="How long an endpoint may take to answer."
    )
    lane_width: PositiveInt = Field(
        default=8, description="Requests to one endpoint that are under way at once."
    )
    under_way_max: PositiveInt = Field(
        default=512, description="Requests of one dispatcher that are under way at once."
    )
    history_days: PositiveInt = Field(
        default=30,
        description="Days for which attempts, and deliveries that ended, are shown.",
    )
    page_size_max: PositiveInt = Field(
        default=1_000, description="Events that the projector queues in one transaction."
    )
