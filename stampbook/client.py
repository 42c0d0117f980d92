"""Talks to a Stampbook over HTTP; whatever goes wrong is a `Failure`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec

from stampbook.failures import Refused, Unreachable

NDJSON = "application/x-ndjson"
_CONNECT_S = 5.0
_ANSWER_S = 60.0  # longer than any wait that may be asked for, or silence of a stream


class Client:
    """One server, one key; safe to share between threads."""

    def __init__(self, url: str, key: str | None, merchant: str | None = None) -> None:
        self.url = url.rstrip("/")
        headers = {"User-Agent": "stampbook"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        if merchant:
            headers["Stampbook-Merchant"] = merchant
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
            trust_env=False,  # only settings classes read the environment
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> httpx.Response:
        """Ask, and return the answer if it is a good one.

        Raises:
            Refused: it is a problem.
            Unreachable: there is none.
        """
        try:
            response = self._http.request(
                method, path, content=content, headers=headers, params=params
            )
        except httpx.HTTPError as error:
            raise Unreachable(self.url, _reason(error)) from error
        _raise_for_problem(response)
        return response

    def get(self, path: str, **params: str | int | None) -> Any:
        """The JSON at ``path``; parameters that are None are left out."""
        given = {name: value for name, value in params.items() if value is not None}
        return _json(self.request("GET", path, params=given))

    def items(self, path: str, **params: str | int | None) -> Iterator[Any]:
        """Every item of a list, page after page."""
        after: str | int | None = None
        while True:
            page = self.get(path, **params, limit=500, after=after)
            yield from page["items"]
            after = page.get("next")
            if after is None:
                return

    def send(
        self, method: str, path: str, body: object = None, *, prefer: str | None = None
    ) -> Any:
        """Send JSON (nothing, if ``body`` is None) and return the JSON of the answer."""
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if content is None else {"Content-Type": "application/json"}
        if prefer:
            headers["Prefer"] = prefer
        return _json(self.request(method, path, content=content, headers=headers))

    def post_lines(self, path: str, body: bytes, headers: Mapping[str, str]) -> Iterator[bytes]:
        """Send a body and return the lines of the answer as they come.

        Raises:
            Refused: the answer is a problem.
            Unreachable: there is none, or it broke off.
        """
        try:
            with self._http.stream("POST", path, content=body, headers=headers) as response:
                if response.is_error:
                    response.read()
                    _raise_for_problem(response)
                yield from whole_lines(response.iter_bytes())
        except httpx.HTTPError as error:
            raise Unreachable(self.url, _reason(error)) from error

    @contextmanager
    def lines(
        self, path: str, *, params: Mapping[str, str | int] | None = None, method: str = "GET"
    ) -> Iterator[Iterator[bytes]]:
        """The lines of an NDJSON answer, as they come.

        Raises:
            Refused: the answer is a problem.
            Unreachable: there is none, or it broke off.
        """
        try:
            with self._http.stream(
                method, path, params=params, headers={"Accept": NDJSON}
            ) as response:
                if response.is_error:
                    response.read()
                    _raise_for_problem(response)
                yield whole_lines(response.iter_bytes())
        except httpx.HTTPError as error:
            raise Unreachable(self.url, _reason(error)) from error


def whole_lines(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Lines without their ends; httpx's own would break a line at other separators too."""
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        yield from (line for line in lines if line)
    if rest:
        yield rest


def _json(response: httpx.Response) -> Any:
    return msgspec.json.decode(response.content) if response.content else None


def _raise_for_problem(response: httpx.Response) -> None:
    if not response.is_error:
        return
    try:
        problem = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"status": response.status_code, "code": "", "detail": response.text[:200]}
    retry_after = response.headers.get("retry-after", "")
    if retry_after.isdigit():
        problem["retry_after_s"] = int(retry_after)
    raise Refused(problem)


def _reason(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
