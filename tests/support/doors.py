"""Doors without a network: an app, called in the same process."""

import httpx
from fastapi import FastAPI


def door_to(app: FastAPI, **headers: str) -> httpx.AsyncClient:
    """A client of ``app``. It runs no lifespan: apps get everything passed in."""
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://stampbook", headers=headers)
