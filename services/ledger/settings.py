"""Every knob of the ledger."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from pydantic_settings import SettingsConfigDict

from services.ledger.cache import CACHE_BYTES
from services.ledger.intake import ADJUSTMENT_LIMIT
from services.ledger.signing import Seals
from services.runtime.checkpoints import Notary, read_keys
from services.runtime.notes import NAME, Verifier
from services.runtime.settings import RuntimeSettings
from services.runtime.shards import Share


def _verifiers(written: str) -> str:
    for each in written.split():
        if not Verifier.parse(each).is_witness:
            raise ValueError("a witness's key is one for cosignatures")
    return written


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
    lease_s: PositiveFloat = Field(
        default=3.0,
        description="How long a process that vanished keeps others from taking over its work.",
    )
    time_zone: str = Field(
        default="UTC",
        description="IANA time zone in which statements' months begin, unless one is asked for.",
    )
    shard: NonNegativeInt = Field(
        default=0,
        description="The number of this process's shard: a log and a database of its own, fed by "
        "every `LEDGER_SHARDS`-th partition of `intake`.",
    )
    shards: PositiveInt = Field(
        default=1, description="How many shards there are; for ever, as long as members stay put."
    )
    cache_bytes: PositiveInt = Field(
        default=CACHE_BYTES,
        description="What the writer's memory of accounts may take; whoever is not in it is read.",
    )
    inspect_every_h: NonNegativeFloat = Field(
        default=0,
        description="Hours between two inspections by the clock, which works every view out again "
        "from the log beside the one in use and compares; counted from 1970 in UTC, so that 24 is "
        "midnight. 0: never.",
    )
    batch_size_max: PositiveInt = Field(
        default=2_000, description="Commands that the writer decides in one transaction."
    )
    adjustment_limit: PositiveInt = Field(
        default=ADJUSTMENT_LIMIT,
        description="The most points that an operator grants or withdraws at once.",
    )

    log_origin: str = Field(
        default="stampbook.localhost/ledger",
        pattern=f"^{NAME.pattern}$",
        description="The name of the log on its checkpoints, for ever: the address under which it "
        "is read, without `https://`. One of several shards adds its number.",
    )
    log_key_file: Path | None = Field(
        default=None,
        description="Where the private keys lie that sign checkpoints, one a line; made on the "
        "first start, for the writer only to read. Empty: embedded `log.key` in its folder, "
        "otherwise nothing is signed.",
    )
    witnesses: Annotated[str, AfterValidator(_verifiers)] = Field(
        default="",
        description="The public keys of witnesses whose signatures on checkpoints are kept, with "
        "spaces between.",
    )

    document_key_file: Path | None = Field(
        default=None,
        description="Where the private keys lie that sign statements and settlements; made on the "
        "first start, for the API only to read. Empty: embedded `documents.key` in its folder, "
        "otherwise they are not signed.",
    )

    @property
    def inspect_every(self) -> timedelta:
        """How often views are compared with the log; nothing: never."""
        return timedelta(hours=self.inspect_every_h)

    def notary(self) -> Notary | None:
        """Who signs checkpoints; None: nobody.

        Raises:
            Malformed: the file holds something else than keys of this log.
        """
        if self.log_key_file is None:
            return None
        return Notary(read_keys(self.log_key_file, self.origin))

    def seals(self) -> Seals:
        """Who signs statements and settlements, if anybody, and which witnesses are known.

        Raises:
            Malformed: the file holds something else than keys for documents of this log.
        """
        path, name = self.document_key_file, f"{self.origin}/documents"
        return Seals(
            signers=[] if path is None else read_keys(path, name),
            witnesses=[Verifier.parse(each) for each in self.witnesses.split()],
        )

    @property
    def origin(self) -> str:
        """The name of this shard's log."""
        return self.log_origin if self.shards == 1 else f"{self.log_origin}/{self.shard}"

    @property
    def share(self) -> Share:
        """The partitions of this process's shard.

        Raises:
            ValueError: there is no such shard.
        """
        return Share(self.shard, self.shards)

    def accepts(self, currency: str) -> bool:
        """Whether amounts may be in this currency."""
        accepted = {code.strip() for code in self.currencies.split(",") if code.strip()}
        return not accepted or currency in accepted
