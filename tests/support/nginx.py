"""Reads the reverse proxy's configuration, which stands in docker-compose.yml."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.support.compose import NotUnderstood

_IGNORED = {
    # How nginx itself behaves; our proxy streams both ways and waits as long as it takes.
    *("listen", "proxy_http_version", "proxy_buffering", "proxy_request_buffering"),
    *("proxy_read_timeout", "proxy_set_header"),
}
_SERVER = re.compile(r"\s*server\s*\{(?P<body>.*)\}\s*", re.DOTALL)
_STATEMENT = re.compile(
    r"\s*(?:location\s+(?P<prefix>/\S*)\s*\{\s*proxy_pass\s+(?P<target>[^\s;]+)\s*;\s*\}"
    r"|(?P<directive>\w+)\s+(?P<values>[^;{}]+);)\s*"
)


@dataclass(frozen=True, slots=True)
class Route:
    """Where requests go whose path begins so."""

    prefix: str
    host: str
    port: int
    path: str  # stands in the place of the prefix; empty: the path stays as it is

    def translated(self, path: str) -> str:
        """The path as the program behind sees it."""
        return self.path + path.removeprefix(self.prefix) if self.path else path


@dataclass(frozen=True, slots=True)
class ProxyRules:
    """What a request meets on its way."""

    routes: Sequence[Route]
    body_bytes_max: int

    def route(self, path: str) -> Route:
        """The longest prefix wins."""
        return max(
            (route for route in self.routes if path.startswith(route.prefix)),
            key=lambda route: len(route.prefix),
        )


def read_proxy_rules(text: str) -> ProxyRules:
    """Understand the one server block.

    Raises:
        NotUnderstood: there is something in it that our own proxy would not do.
    """
    server = _SERVER.fullmatch(text)
    if server is None:
        raise NotUnderstood("the proxy's configuration is one server block")
    routes: list[Route] = []
    body_bytes_max = 1 << 20  # as nginx has it where nobody says otherwise
    rest = server["body"]
    while rest.strip():
        found = _STATEMENT.match(rest)
        if found is None:
            raise NotUnderstood(f"the proxy's configuration, at {rest.strip()[:60]!r}")
        rest = rest[found.end() :]
        if found["prefix"]:
            routes.append(_route(found["prefix"], found["target"]))
        elif found["directive"] == "client_max_body_size":
            body_bytes_max = _bytes(found["values"])
        elif found["directive"] not in _IGNORED:
            raise NotUnderstood(f"the proxy's configuration: what is {found['directive']}?")
    return ProxyRules(routes, body_bytes_max)


def _route(prefix: str, target: str) -> Route:
    parts = urlsplit(target)
    if parts.scheme != "http" or parts.hostname is None or parts.port is None or parts.query:
        raise NotUnderstood(f"{prefix} goes to http://NAME:PORT, not to {target}")
    return Route(prefix, parts.hostname, parts.port, parts.path)


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+)m", text)
    if found is None:
        raise NotUnderstood(f"client_max_body_size counts in m: {text}")
    return int(found[1]) << 20
