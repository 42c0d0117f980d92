"""Settings come from the environment, and can be explained."""

from datetime import timedelta

import pytest
from pydantic import Field, ValidationError
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import RuntimeSettings, markdown_table


class CakeSettings(RuntimeSettings):
    model_config = SettingsConfigDict(env_prefix="CAKE_")

    oven_timeout_s: float = Field(default=30, description="Until it is hot.")
    keeps_for: timedelta = Field(default=timedelta(days=3), description="Then it is stale.")
    topping: str | None = Field(default=None, description="On top; empty: none.")


def test_every_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAKE_DATABASE_URL", "sqlite:////cake.db")
    monkeypatch.setenv("CAKE_STREAM_URL", "kafka://localhost:9092")
    monkeypatch.setenv("CAKE_KEEPS_FOR", "P5D")
    monkeypatch.setenv("CAKE_TOPPING", "")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")

    settings = CakeSettings()

    assert settings.database_url == "sqlite:////cake.db"
    assert settings.stream_url == "kafka://localhost:9092"
    assert settings.keeps_for == timedelta(days=5)
    assert settings.topping is None
    assert settings.otlp_endpoint == "http://collector:4318"


def test_settings_can_be_given_by_name_and_never_change() -> None:
    settings = CakeSettings(database_url="d", stream_url="s", otlp_endpoint="e")

    assert settings.otlp_endpoint == "e"
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]


def test_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAKE_PORT", "secret")

    with pytest.raises(ValidationError) as refusal:
        CakeSettings(database_url="postgresql://cake:secret@db/cake", stream_url="s")

    assert "secret" not in str(refusal.value)
    monkeypatch.delenv("CAKE_PORT")
    assert "secret" not in repr(
        CakeSettings(database_url="postgresql://cake:secret@db/cake", stream_url="s")
    )


def test_a_table_explains_every_setting() -> None:
    lines = markdown_table(CakeSettings).splitlines()

    assert lines[0] == "| variable | default | unit | meaning |"
    assert len(lines) == 2 + len(CakeSettings.model_fields)
    assert lines[2].startswith("| `CAKE_DATABASE_URL` | required | address | The service's store: ")
    assert "| `CAKE_OVEN_TIMEOUT_S` | `30` | seconds | Until it is hot. |" in lines
    assert "| `CAKE_KEEPS_FOR` | `P3D` | ISO 8601 duration | Then it is stale. |" in lines
    assert "| `CAKE_TOPPING` |  |  | On top; empty: none. |" in lines
    assert any(line.startswith("| `OTEL_EXPORTER_OTLP_ENDPOINT` |  |") for line in lines)
