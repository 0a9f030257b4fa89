import ssl

import pytest

from meshproxy.transport.detect import MAX_INSPECTED, NEED_MORE, OPAQUE, Detected, DetectedKind, detect

HTTP11 = Detected(DetectedKind.HTTP1, ("http/1.1",))
HTTP10 = Detected(DetectedKind.HTTP1, ("http/1.0",))
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def client_hello(server_name=None, alpn=()):
    """What OpenSSL sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    outgoing = ssl.MemoryBIO()
    peer = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=server_name)
    with pytest.raises(ssl.SSLWantReadError):
        peer.do_handshake()
    return outgoing.read()


def record(payload):
    return b"\x16\x03\x01" + len(payload).to_bytes(2, "big") + payload


def vector(size, payload):
    return len(payload).to_bytes(size, "big") + payload


def hello_of(extensions=None, tail=b""):
    """A minimal ClientHello with the given (type, body) extensions; None leaves the block out."""
    body = b"\x03\x03" + bytes(32) + vector(1, b"") + vector(2, b"\x13\x01") + vector(1, b"\x00")
    if extensions is not None:
        body += vector(2, b"".join(kind.to_bytes(2, "big") + vector(2, data) for kind, data in extensions))
    body += tail
    return record(b"\x01" + vector(3, body))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"GET / HTTP/1.1\r\n", HTTP11),
        (b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n", HTTP11),
        (b"POST / HTTP/1.0\r\n\r\n", HTTP10),
        (b"OPTIONS * HTTP/1.1\r\n", HTTP11),
        (b"M-SEARCH * HTTP/1.1\r\n", HTTP11),
        (b"GET http://a/b HTTP/1.1\r\n", HTTP11),
        (b"GET HTTPS://a HTTP/1.1\r\n", HTTP11),
        (b"CONNECT a:443 HTTP/1.1\r\n", HTTP11),
        (PREFACE, Detected(DetectedKind.HTTP2, ("h2c",))),
        (PREFACE + b"\x00\x00\x00\x04", Detected(DetectedKind.HTTP2, ("h2c",))),
        (b"GET /" + b"a" * MAX_INSPECTED, HTTP11),
    ],
)
def test_http(data, found):
    assert detect(data) == found


@pytest.mark.parametrize(
    "data", [b"POST /a HTTP/1.1\r\n", b"GET http://a HTTP/1.0\r\n", b"CONNECT a:1 HTTP/1.1\r\n", PREFACE]
)
def test_every_beginning_of_http_asks_for_more(data):
    for size in range(len(data)):
        assert detect(data[:size]) == NEED_MORE


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x10",
        b" GET / HTTP/1.1\r\n",
        b"\r\nGET / HTTP/1.1\r\n",
        b"EHLO me\r\n",
        b"GET key\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"SSH-2.0-x\r\n",
        b"AUTH secret x\r\n",
        b"GET  / HTTP/1.1\r\n",
        b"GET hippo HTTP/1.1\r\n",
        b"GET htt HTTP/1.1\r\n",
        b"CONNECT a HTTP/1.1\r\n",
        b"GET /a\x00 HTTP/1.1\r\n",
        b"GET / HTTP/2.0\r\n",
        b"GET / HTTP/1.1\n",
        b"GET / FTP",
        b"GET /\r\n",
        b"A" * 33,
        b"PRI * HTTP/2.0\r\n\r\nXX",
    ],
)
def test_what_cannot_become_http_is_opaque(data):
    assert detect(data) == OPAQUE


@pytest.mark.parametrize(
    ("server_name", "alpn"),
    [
        (None, ()),
        ("Outbound_.8080_._.catalog.shop.svc.cluster.local", ("istio-http/1.1", "istio")),
        ("a.b", ("h2",)),
    ],
)
def test_a_real_client_hello_however_it_is_split(server_name, alpn):
    data = client_hello(server_name, alpn)
    found = detect(data + b"more")
    assert found == Detected(DetectedKind.TLS, alpn, (server_name or "").lower())
    for size in range(len(data)):
        assert detect(data[:size]) == NEED_MORE


def test_a_client_hello_split_over_records():
    whole = client_hello("a.b", ("h2",))
    payload = whole[5:]
    for cut in (1, 3, 4, 5, 100):
        data = record(payload[:cut]) + record(payload[cut:])
        assert detect(data) == Detected(DetectedKind.TLS, ("h2",), "a.b")
        assert detect(data[:-1]) == NEED_MORE
        assert detect(data[: 5 + cut]) == NEED_MORE


def test_a_client_hello_in_crumbs_is_refused():
    payload = client_hello("a.b")[5:]
    assert detect(b"".join(record(bytes([byte])) for byte in payload)) == OPAQUE


def test_extensions_are_optional():
    assert detect(hello_of()) == Detected(DetectedKind.TLS)
    assert detect(hello_of([])) == Detected(DetectedKind.TLS)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x02",
        b"\x16\x03\x05",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x40\x01",
        b"\x16\x03\x01\x00\x05\x02",
        b"\x16\x03\x01\x40\x00\x01\x00\x40\x01",
        record(b"\x01\x00\x00\x02\x03\x03"),
        record(b"\x01\x00\x00\x30") + b"\x17\x03\x03",
        hello_of([], tail=b"x"),
        hello_of([(0, b"")]),
        hello_of([(0, vector(2, b"\x01" + vector(2, b"a")))]),
        hello_of([(0, vector(2, b"\x00" + vector(2, b"")))]),
        hello_of([(0, vector(2, b"\x00" + vector(2, b"a b")))]),
        hello_of([(16, vector(2, b"\x05h2"))]),
        hello_of([(16, vector(2, b"\x02h2"))] * 2),
    ],
)
def test_what_is_not_a_client_hello_is_opaque(data):
    assert detect(data) == OPAQUE


def test_nothing_yet():
    assert detect(b"") == NEED_MORE
