"""The PROXY protocol: what a header says, and what is none."""

import struct
from ipaddress import ip_address

import pytest

from meshproxy.transport.proxy_protocol import MAX_V2, ProxyHeader, ProxyProtocolError, read_proxy_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(
    source: str = "203.0.113.7",
    tail: bytes = b"",
    command: int = 1,
    family: int | None = None,
    protocol: int = 1,
) -> bytes:
    address = ip_address(source)
    other = ip_address("192.0.2.1" if address.version == 4 else "2001:db8::1")
    body = address.packed + other.packed + struct.pack("!HH", 1000, 443) + tail
    kind = (family if family is not None else {4: 1, 6: 2}[address.version]) << 4 | protocol
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, kind, len(body)) + body


@pytest.mark.parametrize(
    ("header", "source"),
    [
        (b"PROXY TCP4 203.0.113.7 192.0.2.1 1000 443\r\n", "203.0.113.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 0 65535\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", ""),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ""),
        (v2(), "203.0.113.7"),
        (v2("2001:db8::7"), "2001:db8::7"),
        (v2(tail=b"\x04\x00\x02hi"), "203.0.113.7"),
        (v2(command=0), ""),
        (v2(family=0, protocol=0), ""),
        (v2(tail=bytes(216), family=3), ""),
        (SIGNATURE + b"\x20\x00\x00\x00", ""),
    ],
)
def test_a_header_is_read_byte_by_byte_and_with_what_follows(header, source):
    for size in range(len(header)):
        assert read_proxy_header(header[:size]) is None
    assert read_proxy_header(header) == ProxyHeader(source, len(header))
    assert read_proxy_header(header + b"GET / HTTP/1.1\r\n") == ProxyHeader(source, len(header))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXX",
        b"PROXY TCP6 fe80::1%eth0 2001:db8::1 1000 443\r\n",
        b"PROXY TCP6 ::1%a\nx-forwarded-proto:https 2001:db8::1 1000 443\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 1000\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 1000 443 1\r\n",
        b"PROXY TCP4 2001:db8::7 192.0.2.1 1000 443\r\n",
        b"PROXY TCP4 203.0.113.007 192.0.2.1 1000 443\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 +1000 443\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 01000 443\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 1000 65536\r\n",
        b"PROXY TCP4  203.0.113.7 192.0.2.1 1000 443\r\n",
        b"PROXY UDP4 203.0.113.7 192.0.2.1 1000 443\r\n",
        "PROXY TCP4 ٢ 192.0.2.1 1000 443\r\n".encode(),
        b"PROXY " + b"x" * 101,
        b"\r\n\r\n\0\r\nQUIX",
        SIGNATURE + b"\x10\x11\x00\x00",
        SIGNATURE + b"\x22\x11\x00\x00",
        SIGNATURE + b"\x21\x41\x00\x00",
        SIGNATURE + b"\x21\x13\x00\x00",
        SIGNATURE + struct.pack("!BBH", 0x21, 0x11, MAX_V2 + 1),
        SIGNATURE + b"\x21\x11\x00\x04" + bytes(4),
        v2(protocol=2),
        v2(family=3),
    ],
)
def test_what_is_no_header_is_refused(data):
    with pytest.raises(ProxyProtocolError):
        read_proxy_header(data)
