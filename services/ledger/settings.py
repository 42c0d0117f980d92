"""Every knob of the ledger."""

from __future__ import annotations

from pydantic import Field, PositiveInt
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import RuntimeSettings


class LedgerSettings(RuntimeSettings):
    """``LEDGER_CURRENCIES=USD,CAD`` sets ``currencies``."""

    model_config = SettingsConfigDict(env_prefix="LEDGER_")

    currencies: str = Field(
        default="",
        description="Accepted currencies, ISO 4217, with commas between; empty: any.",
    )
    admin_key: str | None = Field(
        default=None,
        repr=False,
        validation_alias="STAMPBOOK_ADMIN_KEY",
        description="The operator's key; empty: only keys made with `stampbook keys` are known.",
    )
    batch_size_max: PositiveInt = Field(
        default=2_000, description="Commands that the writer decides in one transaction."
    )

    def accepts(self, currency: str) -> bool:
        """Whether amounts may be in this currency."""
        accepted = {code.strip() for code in self.currencies.split(",") if code.strip()}
        return not accepted or currency in accepted
