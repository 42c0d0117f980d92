"""What may be called, as a table of refusals: every way into a private network that we know of."""

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain.addresses import URL_LENGTH_MAX, check_url, may_connect
from services.notify.domain.errors import AddressNotAllowed, MalformedUrl

REFUSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.1.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::7f00:1",  # IPv4-compatible
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",  # translated (SIIT)
    "64:ff9b::7f00:1",  # NAT64
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",  # Teredo
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4
    "2002:a00:1::",
    "2620:4f:8000::1",
    "3fff::1",
    "5f00::1",  # SRv6
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
LOOPBACK = ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1"]
ALLOWED = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "192.0.1.1",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "2a00:1450:4001:82a::200e",
]


@pytest.mark.parametrize("allow_loopback", [True, False])
@pytest.mark.parametrize("address", REFUSED)
def test_never_connects_to(address: str, allow_loopback: bool) -> None:  # noqa: FBT001
    assert not may_connect(address, allow_loopback=allow_loopback)


@pytest.mark.parametrize("address", LOOPBACK)
def test_connects_to_loopback_only_where_that_is_open(address: str) -> None:
    assert may_connect(address, allow_loopback=True)
    assert not may_connect(address, allow_loopback=False)


@pytest.mark.parametrize("address", ALLOWED)
def test_connects_to_the_public_internet(address: str) -> None:
    assert may_connect(address, allow_loopback=False)


@pytest.mark.parametrize("text", ["", "example.com", "127.1", "1.2.3.4.5", "::1::"])
def test_connects_to_nothing_that_is_no_address(text: str) -> None:
    assert not may_connect(text, allow_loopback=True)


@given(st.ip_addresses())
def test_refuses_whatever_python_calls_private(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if may_connect(str(address), allow_loopback=False):
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=4))
def test_judges_an_address_the_same_in_its_ipv6_form(address: ipaddress.IPv4Address) -> None:
    mapped = f"::ffff:{address}"

    assert may_connect(mapped, allow_loopback=False) == may_connect(
        str(address), allow_loopback=False
    )


@pytest.mark.parametrize("address", REFUSED)
def test_refuses_the_address_in_a_url(address: str) -> None:
    host = f"[{address}]" if ":" in address else address

    with pytest.raises(AddressNotAllowed):
        check_url(f"https://{host}/hook", allow_loopback=True)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "shop.localhost",
        "localhost.localdomain",
        "printer.local",
        "metadata.google.internal",
        "ip6-loopback",
        "127.0.0.1",
        "[::1]",
        "127.1",
        "0x7f000001",
        "0x7f.0.0.1",
        "2130706433",
        "0177.0.0.1",
        "127.0.0.1.",
        "1.2.3.256",
    ],
)
def test_refuses_names_of_something_local(host: str) -> None:
    with pytest.raises(AddressNotAllowed):
        check_url(f"http://{host}:8080/hook", allow_loopback=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:9000/hook",
        "http://127.0.0.1:9000/hook",
        "http://[::1]:9000/hook",
        "https://shop.example/hook?till=1",
    ],
)
def test_takes_loopback_where_that_is_open(url: str) -> None:
    check_url(url, allow_loopback=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example",
        "http://shop.example:8080/a/b?c=d&e=%20",
        "https://xn--bcher-kva.example./hook",
        "https://receiver/hook",
        "https://8.8.8.8/hook",
        "https://[2606:4700::1111]/hook",
    ],
)
def test_takes_public_addresses(url: str) -> None:
    check_url(url, allow_loopback=False)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example/hook",
        "//shop.example/hook",
        "ftp://shop.example/hook",
        "file:///etc/passwd",
        "https://",
        "https:///hook",
        "https://user:secret@shop.example/",
        "https://user@shop.example/",
        "https://shop.example/#part",
        "https://shop.example/#",
        "https://shop.example:0/",
        "https://shop.example:65536/",
        "https://shop.example:port/",
        "https://shop .example/",
        "https://shop.example/\\@127.0.0.1",
        "https://shop.example/\n",
        "https://bücher.example/",
        "https://ⓛocalhost/",
        "https://[::1/",
        "https://-shop.example/",
        "https://shop..example/",
        "https://[v1.x]/",
        f"https://shop.example/{'x' * URL_LENGTH_MAX}",
    ],
)
def test_refuses_what_is_no_address_to_send_to(url: str) -> None:
    with pytest.raises(MalformedUrl):
        check_url(url, allow_loopback=True)


@given(st.text())
def test_never_stumbles_over_a_url(text: str) -> None:
    for url in (text, f"http://{text}", f"http://{text}/"):
        with contextlib.suppress(AddressNotAllowed, MalformedUrl):
            check_url(url, allow_loopback=False)
