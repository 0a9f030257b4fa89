from meshproxy.http import h1_scan, h1_strict
from meshproxy.http.codec import RequestReader, ResponseReader, scan_codec, strict_codec
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_each_codec_makes_its_own_readers():
    scan = scan_codec(HeadMemory(), HeadLimits())
    strict = strict_codec(HeadLimits())
    assert (scan.name, strict.name) == ("scan", "strict")
    request_readers: list[RequestReader] = [scan.request_reader(), strict.request_reader()]
    response_readers: list[ResponseReader] = [scan.response_reader(), strict.response_reader()]
    assert [type(reader) for reader in request_readers] == [h1_scan.RequestReader, h1_strict.RequestReader]
    assert [type(reader) for reader in response_readers] == [h1_scan.ResponseReader, h1_strict.ResponseReader]


def test_connections_of_the_strict_codec_share_nothing_those_of_the_other_share_heads():
    def third_head(codec):
        return [codec.request_reader().receive(GET)[0].head for _ in range(3)]

    _, second, third = third_head(scan_codec(HeadMemory(), HeadLimits()))
    assert second is third
    _, second, third = third_head(strict_codec(HeadLimits()))
    assert second is not third
    assert second.forward == third.forward
