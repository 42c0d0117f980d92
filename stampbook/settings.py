"""What the command line takes from the environment."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

URL = "http://127.0.0.1:8080"


class StampbookSettings(BaseSettings):
    """``STAMPBOOK_URL=https://loyalty.example`` sets ``url``; an option on the line wins."""

    model_config = SettingsConfigDict(env_prefix="STAMPBOOK_", frozen=True)

    url: str = Field(default=URL, description="The address of the server that commands talk to.")
    key: SecretStr | None = Field(
        default=None, description="The key that commands show to the server."
    )
    merchant: str | None = Field(
        default=None, description="The merchant to act for, where the key is the operator's."
    )
