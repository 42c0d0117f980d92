"""Which addresses may be called: what merchants choose must not lead into our own network.

The rule is asked twice. ``check_url`` answers at the door, where a person reads the reason;
``may_connect`` answers for every address that a name resolved to, right before connecting, because
only that cannot be changed behind our back. (``ipaddress.is_global`` does not do: it calls NAT64,
6to4, multicast and a cloud's metadata address global.)
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from services.notify.domain.errors import AddressNotAllowed, MalformedUrl

URL_LENGTH_MAX = 2_048

_REFUSED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network; connecting to 0.0.0.0 reaches the machine itself
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carriers' own; one cloud's metadata lives here too
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's platform address, global only by its looks
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments, another cloud's metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# Everything outside of global unicast is refused: loopback, ::/96, translated and NAT64 prefixes
# (they hold an IPv4 address of anyone's choice), SRv6, unique-local, link-local, multicast.
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: holds an IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
_LOCAL_NAMES = ("localhost", "localdomain", "local", "internal", "ip6-localhost", "ip6-loopback")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# What resolvers also take for IPv4: 127.1, 0x7f000001, 2130706433, 0177.0.0.1.
_NUMERIC_NAME = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


def may_connect(address: str, *, allow_loopback: bool) -> bool:
    """Whether a connection to this resolved address may be opened."""
    try:
        parsed = _plain(ip_address(address))
    except ValueError:
        return False
    if parsed.is_loopback:
        return allow_loopback
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in _REFUSED_V4)
    return parsed in _GLOBAL_UNICAST_V6 and not any(parsed in network for network in _REFUSED_V6)


def check_url(url: str, *, allow_loopback: bool) -> None:
    """Refuse what can be seen to be wrong without asking a resolver.

    Raises:
        MalformedUrl: not an absolute http or https address, or with credentials or a fragment.
        AddressNotAllowed: its host is an address, or a name, of a network we do not call.
    """
    host = _host_of(_split(url))
    if _is_literal(host):
        if not may_connect(host, allow_loopback=allow_loopback):
            raise AddressNotAllowed(f"{host} is private, local or reserved")
    elif _NUMERIC_NAME.fullmatch(host):
        raise AddressNotAllowed(f"{host} is no plain form of an address")
    elif host == "localhost" and allow_loopback:
        return
    elif host.rpartition(".")[2] in _LOCAL_NAMES:
        raise AddressNotAllowed(f"{host} names something local")


def _split(url: str) -> SplitResult:
    if len(url) > URL_LENGTH_MAX:
        raise MalformedUrl(f"is longer than {URL_LENGTH_MAX} characters")
    # Parsers disagree about these; the one that connects shall see what this one saw.
    if not url.isascii() or not url.isprintable() or any(sign in url for sign in ' \\"<>^`{|}'):
        raise MalformedUrl("holds characters that an address has to escape")
    if "#" in url:
        raise MalformedUrl("has a fragment, which is never sent")
    try:
        parts = urlsplit(url)
        is_port_good = parts.port is None or parts.port > 0
    except ValueError as error:
        raise MalformedUrl(f"does not parse: {error}") from None
    if parts.scheme not in {"http", "https"}:
        raise MalformedUrl("is neither https nor http")
    if "@" in parts.netloc:
        raise MalformedUrl("holds credentials; the signature is what proves the sender")
    if not is_port_good:
        raise MalformedUrl("has no port that could be called")
    return parts


def _host_of(parts: SplitResult) -> str:
    host = (parts.hostname or "").removesuffix(".")
    if not _is_literal(host) and ("[" in parts.netloc or not _NAME.fullmatch(host)):
        raise MalformedUrl("has no host name in plain ASCII (write xn--… for others)")
    return host


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address in IPv6 clothes is judged as the IPv4 address that it reaches."""
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
