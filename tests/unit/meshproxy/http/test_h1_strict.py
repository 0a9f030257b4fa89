"""What the conformance suite cannot ask of both codecs: where h11 says no, and that nothing is kept."""

import pytest

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.h1_strict import HeadLimits, RequestReader, ResponseReader
from meshproxy.http.second_reading import SecondReading
from meshproxy.http.syntax import refuse

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def refusal(call, *arguments):
    with pytest.raises(RemoteProtocolError) as caught:
        call(*arguments)
    return caught.value.status, caught.value.reason


def test_h11_ends_a_trailer_section_earlier_and_so_is_asked_no_more():
    reader = RequestReader(HeadLimits())
    assert len(reader.receive(CHUNKED)) == 1
    assert refusal(reader.receive, b"0\r\nA: b\n\r\n") == (400, "readers_disagree")
    assert refusal(reader.receive, b"x") == (400, "readers_disagree")
    assert refusal(reader.receive_eof) == (400, "readers_disagree")


def test_a_disagreement_about_a_head_is_a_refusal(monkeypatch):
    def disagree(*_, **__):
        raise refuse("two readers", "readers_disagree")

    monkeypatch.setattr(SecondReading, "request", disagree)
    monkeypatch.setattr(SecondReading, "response", disagree)
    reader = RequestReader(HeadLimits())
    assert refusal(reader.receive, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == (400, "readers_disagree")
    response = ResponseReader(HeadLimits())
    response.expect(b"GET")
    assert refusal(response.receive, b"HTTP/1.1 200 OK\r\n\r\n") == (400, "readers_disagree")


def test_nothing_is_kept_between_messages():
    reader = RequestReader(HeadLimits())
    heads = []
    for _ in range(5):
        heads.append(reader.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0].head)
        assert reader.start_next() == []
    assert len({id(head) for head in heads}) == 5
    for table in (reader._heads._request_lines, reader._heads.memory):
        assert table.size == 0


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"CONNECT", b"OPTIONS", b"PURGE", b"get"])
def test_any_method_may_be_announced(method):
    reader = ResponseReader(HeadLimits())
    for _ in range(2):
        reader.expect(method)
        assert len(reader.receive(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n")) == 1
        assert reader.is_idle
