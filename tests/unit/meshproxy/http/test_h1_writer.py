import h11
import pytest

from meshproxy.http.h1_writer import CONTINUE, LAST_CHUNK, chunk, last_chunk, local_response


def read_back(data, method=b"GET"):
    """Events h11 makes of `data` as an answer to `method`."""
    peer = h11.Connection(h11.CLIENT)
    peer.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    peer.send(h11.EndOfMessage())
    peer.receive_data(data)
    events = []
    while True:
        event = peer.next_event()
        if event in (h11.NEED_DATA, h11.PAUSED):
            return events
        events.append(event)
        if isinstance(event, h11.EndOfMessage):
            return events


def test_chunks():
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert LAST_CHUNK == last_chunk(()) == b"0\r\n\r\n"
    assert last_chunk(((b"a", b"1"), (b"b", b"2"))) == b"0\r\na: 1\r\nb: 2\r\n\r\n"


def test_an_empty_chunk_is_our_bug():
    with pytest.raises(AssertionError):
        chunk(b"")


def test_local_response_with_a_body():
    response, data, end = read_back(local_response(503, b"no endpoint", ((b"x-a", b"b"),), close=True))
    assert (response.status_code, response.reason) == (503, b"Service Unavailable")
    assert dict(response.headers) == {
        b"content-type": b"text/plain",
        b"content-length": b"11",
        b"x-a": b"b",
        b"server": b"meshproxy",
        b"connection": b"close",
    }
    assert data.data == b"no endpoint"
    assert isinstance(end, h11.EndOfMessage)


def test_local_response_without_a_body():
    response, _ = read_back(local_response(404, b"", close=False))
    assert dict(response.headers) == {b"content-length": b"0", b"server": b"meshproxy"}


def test_local_response_to_head_keeps_the_length():
    data = local_response(404, b"gone", close=False, head_request=True)
    assert data.endswith(b"\r\n\r\n")
    response, _ = read_back(data, b"HEAD")
    assert dict(response.headers)[b"content-length"] == b"4"


def test_statuses_without_a_body():
    assert b"content-length" not in local_response(204, b"", close=False)
    assert local_response(100, b"", close=True) == CONTINUE


def test_an_unknown_status_has_an_empty_reason():
    assert local_response(599, b"", close=False).startswith(b"HTTP/1.1 599 \r\n")
