"""Every knob of rewards."""

from __future__ import annotations

from pydantic import Field, PositiveInt
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import RuntimeSettings


class RewardsSettings(RuntimeSettings):
    """``REWARDS_PAGE_SIZE_MAX=500`` sets ``page_size_max``."""

    model_config = SettingsConfigDict(env_prefix="REWARDS_")

    ledger_url: str = Field(
        default="http://127.0.0.1:8080",
        description="The ledger's API, which knows whose key is whose.",
    )
    page_size_max: PositiveInt = Field(
        default=1_000, description="Events that the projector folds in one transaction."
    )
