"""What every service can be told from outside, and the table that tells people about it.

Settings classes are the only readers of the environment.
"""

from datetime import timedelta
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.fields import FieldInfo
from pydantic_core import to_json
from pydantic_settings import BaseSettings, SettingsConfigDict

_UNITS = {
    "_s": "seconds",
    "_ms": "milliseconds",
    "_bytes": "bytes",
    "_url": "address",
    "_port": "port",
}


class RuntimeSettings(BaseSettings):
    """Shared by the services. Each has a subclass with an ``env_prefix`` and its own knobs."""

    model_config = SettingsConfigDict(
        frozen=True, env_ignore_empty=True, validate_by_name=True, hide_input_in_errors=True
    )

    database_url: str = Field(
        repr=False,
        description="The service's store: `postgresql://USER:PASSWORD@HOST/NAME` "
        "or `sqlite:////absolute/path.db`.",
    )
    stream_url: str = Field(
        description="The stream: `kafka://HOST:PORT[,HOST:PORT]` or `sqlite:////absolute/path.db`."
    )
    stream_partitions: PositiveInt = Field(
        default=12,
        description="Partitions of each topic; the same for every service, and for ever.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="The network address to listen on; in a container `0.0.0.0`.",
    )
    port: NonNegativeInt = Field(default=8080, description="The port of the API.")
    health_port: NonNegativeInt | None = Field(
        default=None,
        description="Where a role without an API answers /healthz, /readyz and /metrics; "
        "empty: nowhere.",
    )
    instance: str | None = Field(
        default=None,
        description="Names this process among those that share its work; empty: host name and "
        "process id. Two living processes must never have the same.",
    )
    lease_s: PositiveFloat = Field(
        default=5.0,
        description="How long a process that vanished keeps others from taking over its work.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO",
        description="`DEBUG`, `INFO`, `WARNING` or `ERROR`: lines below it are not written.",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="Where traces go (OTLP over HTTP, needs the extra `otel`); empty: nowhere.",
    )


def markdown_table(settings: type[BaseSettings]) -> str:
    """Every setting of a class, one a line, for docs/operations.md."""
    lines = ["| variable | default | unit | meaning |", "|---|---|---|---|"]
    for name, field in settings.model_fields.items():
        variable = field.validation_alias or f"{settings.model_config['env_prefix']}{name}".upper()
        default = "required" if field.is_required() else _shown(field.get_default())
        lines.append(f"| `{variable}` | {default} | {_unit(name, field)} | {field.description} |")
    return "\n".join(lines) + "\n"


def _shown(default: object) -> str:
    return "" if default is None else f"`{to_json(default).decode().strip(chr(34))}`"


def _unit(name: str, field: FieldInfo) -> str:
    if field.annotation is timedelta:
        return "ISO 8601 duration"
    return next((unit for ending, unit in _UNITS.items() if f"_{name}".endswith(ending)), "")
