"""The HTTP door of notify: everything under ``/v1/endpoints``."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from services.notify import api_deliveries, api_endpoints
from services.notify.application import Notify
from services.runtime.auth import Keys

TITLE: Final = "Stampbook notify"


def routes(notify: Notify, keys: Keys) -> APIRouter:
    """All of it."""
    router = APIRouter()
    router.include_router(api_endpoints.routes(notify, keys))
    router.include_router(api_deliveries.routes(notify, keys))
    return router
