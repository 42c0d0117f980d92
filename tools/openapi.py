"""Writes contracts/openapi/*.json, the HTTP doors as the apps describe them (`make docs`)."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from services.ledger.api import TITLE as LEDGER
from services.ledger.api import routes as ledger_routes
from services.ledger.intake import Rules
from services.ledger.keys import StoredKeys
from services.notify.api import routes as notify_routes
from services.notify.roles import use_cases
from services.rewards.api import TITLE as REWARDS
from services.rewards.api import routes as rewards_routes
from services.rewards.application import Programmes
from services.runtime.clock import utc_now
from services.runtime.database import Database, open_database
from services.runtime.health import Health
from services.runtime.stream import open_stream
from services.runtime.web import application

FOLDER = Path(__file__).parents[1] / "contracts" / "openapi"
VERSION = "1"


def documents() -> dict[str, str]:
    """By service, the document as text."""
    with _fittings() as (database, routers):
        keys = StoredKeys(database, utc_now, operator_key=None)
        notify = use_cases(database, utc_now, allow_loopback=False)
        apps = {
            "ledger": (LEDGER, routers),
            "rewards": (REWARDS, rewards_routes(Programmes(database, utc_now), keys)),
            "notify": ("Stampbook notify", notify_routes(notify, keys)),
        }
        return {name: _text(title, router) for name, (title, router) in apps.items()}


@contextmanager
def _fittings() -> Iterator[tuple[Database, APIRouter]]:
    """Stores that nobody asks anything."""
    with tempfile.TemporaryDirectory() as folder:
        database_url = f"sqlite:///{folder}/none.db"
        stream_url = f"sqlite:///{folder}/stream.db"
        with (
            closing(open_database(database_url)) as database,
            closing(open_stream(stream_url)) as stream,
            closing(stream.producer()) as producer,
        ):
            keys = StoredKeys(database, utc_now, operator_key=None)
            rules = Rules(is_accepted_currency=bool, clock=utc_now)
            yield (
                database,
                ledger_routes(database=database, producer=producer, keys=keys, rules=rules),
            )


def _text(title: str, router: APIRouter) -> str:
    document: dict[str, Any] = application(title, VERSION, [router], health=Health()).openapi()
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for service, text in documents().items():
        (FOLDER / f"{service}.json").write_text(text, "utf-8")
