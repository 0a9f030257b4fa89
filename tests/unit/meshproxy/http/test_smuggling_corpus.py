"""Messages that two readers could understand differently: each must be refused, however it is split.

Shapes known from published request-smuggling and response-splitting work, one row each.
"""

import pytest

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.h1_scan import HeadLimits, HeadMemory, RequestReader, ResponseReader

SMUGGLED = b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"


def head(*lines, start=b"POST / HTTP/1.1", host=b"Host: a\r\n"):
    return start + b"\r\n" + host + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


CHUNKED = b"Transfer-Encoding: chunked"
REQUESTS = {
    "cl.te": (head(b"Content-Length: 6", CHUNKED) + b"0\r\n\r\nG", 400),
    "te.cl": (head(CHUNKED, b"Content-Length: 4") + b"5c\r\n" + SMUGGLED, 400),
    "te.te other coding": (head(CHUNKED, b"Transfer-Encoding: x") + b"0\r\n\r\n", 400),
    "te.te case": (head(CHUNKED, b"transfer-encoding: identity") + b"0\r\n\r\n", 400),
    "te twice chunked": (head(CHUNKED, CHUNKED) + b"0\r\n\r\n", 400),
    "te list chunked twice": (head(b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n", 400),
    "te gzip, chunked": (head(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", 501),
    "te chunked, identity": (head(b"Transfer-Encoding: chunked, identity") + b"0\r\n\r\n", 400),
    "te xchunked": (head(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n", 400),
    "te chunked with parameter": (head(b"Transfer-Encoding: chunked;a=b") + b"0\r\n\r\n", 400),
    "te quoted": (head(b'Transfer-Encoding: "chunked"') + b"0\r\n\r\n", 400),
    "te space before colon": (head(b"Transfer-Encoding : chunked") + b"0\r\n\r\n", 400),
    "te tab before value": (head(b"Transfer-Encoding:\tchunked") + b"0\r\n\r\n", 400),
    "te vertical tab": (head(b"Transfer-Encoding:\x0bchunked") + b"0\r\n\r\n", 400),
    "te nul": (head(b"Transfer-Encoding: chunked\x00") + b"0\r\n\r\n", 400),
    "te high byte": (head(b"Transfer-Encoding: \xa0chunked") + b"0\r\n\r\n", 400),
    "te empty": (head(b"Transfer-Encoding:") + b"0\r\n\r\n", 400),
    "te folded value": (head(b"Transfer-Encoding:\r\n chunked") + b"0\r\n\r\n", 400),
    "te after fold": (head(b"X: y\r\n Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "te behind bare lf": (head(b"X: y\nTransfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "te behind bare cr": (head(b"X: y\rTransfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "te in http/1.0": (head(CHUNKED, start=b"POST / HTTP/1.0") + b"0\r\n\r\n", 400),
    "te leading space name": (head(b" Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "te nul in name": (head(b"Transfer-\x00Encoding: chunked") + b"0\r\n\r\n", 400),
    "cl twice equal": (head(b"Content-Length: 5", b"Content-Length: 5") + b"hello", 400),
    "cl twice different": (head(b"Content-Length: 5", b"Content-Length: 0") + b"hello", 400),
    "cl list equal": (head(b"Content-Length: 5, 5") + b"hello", 400),
    "cl list different": (head(b"Content-Length: 5, 0") + b"hello", 400),
    "cl plus": (head(b"Content-Length: +5") + b"hello", 400),
    "cl minus": (head(b"Content-Length: -5") + b"hello", 400),
    "cl hex": (head(b"Content-Length: 0x5") + b"hello", 400),
    "cl underscore": (head(b"Content-Length: 1_0") + b"hello", 400),
    "cl trailing garbage": (head(b"Content-Length: 5a") + b"hello", 400),
    "cl inner space": (head(b"Content-Length: 5 5") + b"hello", 400),
    "cl empty": (head(b"Content-Length:") + b"hello", 400),
    "cl overflow": (head(b"Content-Length: 18446744073709551616") + b"hello", 400),
    "cl padded with zeros": (head(b"Content-Length: 00000000000000000005") + b"hello", 400),
    "cl space before colon": (head(b"Content-Length : 5") + b"hello", 400),
    "cl folded": (head(b"Content-Length:\r\n 5") + b"hello", 400),
    "cl on connect": (head(b"Content-Length: 5", start=b"CONNECT a:1 HTTP/1.1", host=b"Host: a:1\r\n"), 400),
    "connection hides cl": (head(b"Content-Length: 5", b"Connection: Content-Length") + b"hello", 400),
    "connection hides host": (head(b"Connection: host"), 400),
    "connection hides authorization": (head(b"Authorization: x", b"Connection: close, authorization"), 400),
    "host twice": (head(b"Host: a"), 400),
    "host missing": (head(host=b""), 400),
    "host list": (head(host=b"Host: a, b\r\n"), 400),
    "host with path": (head(host=b"Host: a/b\r\n"), 400),
    "host with user": (head(host=b"Host: a@b\r\n"), 400),
    "host with space": (head(host=b"Host: a b\r\n"), 400),
    "host against target": (head(start=b"GET http://b/ HTTP/1.1"), 400),
    "host space before colon": (head(host=b"Host : a\r\n"), 400),
    "name with space": (head(b"Foo Bar: x"), 400),
    "name empty": (head(b": x"), 400),
    "line without colon": (head(b"Foo"), 400),
    "value with nul": (head(b"Foo: a\x00b"), 400),
    "fold as first field": (head(host=b" Host: a\r\n"), 400),
    "bare lf line endings": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare lf ends head": (b"GET / HTTP/1.1\r\nHost: a\r\n\n" + SMUGGLED, 400),
    "cr cr lf": (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400),
    "space in target": (head(start=b"GET /a b HTTP/1.1"), 400),
    "tab in target": (head(start=b"GET /a\tb HTTP/1.1"), 400),
    "two spaces": (head(start=b"GET  / HTTP/1.1"), 400),
    "fragment": (head(start=b"GET /a#b HTTP/1.1"), 400),
    "http/0.9": (b"GET /\r\n\r\n", 400),
    "http/2.0": (head(start=b"GET / HTTP/2.0"), 505),
    "http/1.10": (head(start=b"GET / HTTP/1.10"), 400),
    "two empty lines first": (b"\r\n\r\n" + SMUGGLED, 400),
    "chunk size space": (head(CHUNKED) + b"5 \r\nhello\r\n0\r\n\r\n", 400),
    "chunk size plus": (head(CHUNKED) + b"+5\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size 0x": (head(CHUNKED) + b"0x5\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size overflow": (head(CHUNKED) + b"10000000000000005\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size negative": (head(CHUNKED) + b"-1\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size empty": (head(CHUNKED) + b"\r\n" + SMUGGLED, 400),
    "chunk size bare lf": (head(CHUNKED) + b"5\nhello\r\n0\r\n\r\n", 400),
    "chunk extension bare lf": (head(CHUNKED) + b"2;\nxx\r\n4c\r\n0\r\n\r\n" + SMUGGLED, 400),
    "chunk extension bare cr": (head(CHUNKED) + b"2;a\rb\r\nxx\r\n0\r\n\r\n", 400),
    "chunk data longer": (head(CHUNKED) + b"5\r\nhello!\r\n0\r\n\r\n", 400),
    "chunk data ends in bare lf": (head(CHUNKED) + b"5\r\nhello\n0\r\n\r\n", 400),
    "chunk data ends in cr x": (head(CHUNKED) + b"5\r\nhello\rX0\r\n\r\n", 400),
    "trailer frames": (head(CHUNKED) + b"0\r\nContent-Length: 5\r\n\r\n", 400),
    "trailer folded": (head(CHUNKED) + b"0\r\nA: b\r\n c\r\n\r\n", 400),
    "trailer bare lf": (head(CHUNKED) + b"0\r\nA: b\n\r\n\r\n", 400),
}  # fmt: skip

OK = b"HTTP/1.1 200 OK\r\n"
RESPONSES = {
    "cl and te": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "cl twice": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "cl list": OK + b"Content-Length: 5, 5\r\n\r\nhello",
    "cl sign": OK + b"Content-Length: +5\r\n\r\nhello",
    "te gzip": OK + b"Transfer-Encoding: gzip\r\n\r\n",
    "te gzip, chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "te in http/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te in 204": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "cl in 204": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    "cl in 100": b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello",
    "fold": OK + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "bare lf": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "bare cr": OK + b"A: b\rSet-Cookie: c\r\nContent-Length: 0\r\n\r\n",
    "nul": OK + b"A: \x00\r\nContent-Length: 0\r\n\r\n",
    "empty line first": b"\r\n" + OK + b"Content-Length: 0\r\n\r\n",
    "http/2": b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "connection hides cl": OK + b"Content-Length: 5\r\nConnection: content-length\r\n\r\nhello",
    "chunk size bare lf": OK + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
    "chunk too long": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
    "trailer frames": OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nTransfer-Encoding: x\r\n\r\n",
}


def feed(reader, data, step):
    for position in range(0, len(data), step):
        reader.receive(data[position : position + step])


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize(("data", "status"), REQUESTS.values(), ids=REQUESTS)
def test_request(data, status, step):
    memory = HeadMemory()
    for _ in range(3):  # a refusal is not remembered as anything else
        with pytest.raises(RemoteProtocolError) as caught:
            feed(RequestReader(memory, HeadLimits()), data, step)
        assert caught.value.status == status
    assert memory.requests(HeadLimits()).memory.size <= 1


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize("data", RESPONSES.values(), ids=RESPONSES)
def test_response(data, step):
    reader = ResponseReader(HeadMemory(), HeadLimits())
    reader.expect(b"GET")
    with pytest.raises(RemoteProtocolError):
        feed(reader, data, step)
