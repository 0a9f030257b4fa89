import pytest

from meshproxy.errors import LocalProtocolError, RemoteProtocolError
from meshproxy.http.events import END, Framing, Request, Response, Trailers
from meshproxy.http.h1_scan import HeadLimits, HeadMemory, RequestReader, ResponseReader

UUID = b"0af76519-16cd-43dd-8448-eb211c80319c"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n"


def requests(memory=None, **limits):
    return RequestReader(memory or HeadMemory(), HeadLimits(**limits))


def responses(method=b"GET", memory=None, **limits):
    reader = ResponseReader(memory or HeadMemory(), HeadLimits(**limits))
    reader.expect(method)
    return reader


def shown(events):
    """Events as comparable values."""
    out = []
    for event in events:
        if isinstance(event, Request):
            out.append((event.head.method, event.head.target, event.request_id))
        elif isinstance(event, Response):
            out.append((event.head.status, event.framing, event.end_stream))
        elif isinstance(event, Trailers):
            out.append(event.headers)
        else:
            out.append(event)
    return out


def refusal(call, *arguments):
    with pytest.raises(RemoteProtocolError) as caught:
        call(*arguments)
    return caught.value.status, caught.value.reason


# --- requests ---


def test_a_whole_request_then_the_next():
    reader = requests()
    assert reader.is_idle
    assert not reader.is_complete
    for _ in range(4):
        assert shown(reader.receive(GET)) == [(b"GET", b"/", b"")]
        assert reader.is_complete
        assert reader.start_next() == []
        assert reader.is_idle


def test_a_repeated_head_is_shared_between_connections():
    memory = HeadMemory()
    heads = [requests(memory).receive(GET)[0].head for _ in range(4)]
    assert heads[1] is heads[2] is heads[3]


def test_a_head_in_pieces():
    reader = requests()
    assert reader.receive(GET[:10]) == []
    assert not reader.is_idle
    assert reader.buffered == 10
    assert shown(reader.receive(GET[10:])) == [(b"GET", b"/", b"")]
    assert reader.buffered == 0


def test_heads_that_differ_in_a_uuid_hit():
    memory = HeadMemory()
    template = b"GET / HTTP/1.1\r\nHost: a\r\nx-request-id: %b\r\n\r\n"
    found = [requests(memory).receive(template % UUID.replace(b"0", b"%d" % n))[0] for n in range(5)]
    assert found[1].head is found[4].head
    assert found[4].request_id == UUID.replace(b"0", b"4")
    strange = requests(memory).receive(template % (b"_" * 36))[0]
    assert strange.head is found[4].head
    assert strange.request_id == b"_" * 36
    spaced = requests(memory).receive(template % (b"a b".center(36, b"c")))[0]
    assert spaced.head is not found[4].head


def test_a_body_by_length_however_it_is_split():
    assert shown(requests().receive(POST)) == [(b"POST", b"/", b""), b"hello", END]
    reader = requests()
    assert shown(reader.receive(POST[:-5])) == [(b"POST", b"/", b"")]
    assert not reader.is_complete
    assert reader.receive(b"") == []
    assert reader.receive(b"he") == [b"he"]
    assert reader.receive(b"llo") == [b"llo", END]
    assert reader.is_complete


def test_a_chunked_body_with_trailers():
    assert shown(requests().receive(CHUNKED)) == [(b"POST", b"/", b""), b"hello", ((b"a", b"b"),), END]


def test_pipelined_requests_wait_for_start_next():
    reader = requests()
    assert shown(reader.receive(POST + GET + GET[:5])) == [(b"POST", b"/", b""), b"hello", END]
    assert reader.buffered == len(GET) + 5
    assert reader.receive(GET[5:]) == []
    assert reader.buffered == 2 * len(GET)
    assert shown(reader.start_next()) == [(b"GET", b"/", b"")]
    assert shown(reader.start_next()) == [(b"GET", b"/", b"")]
    assert reader.start_next() == []


def test_a_known_head_followed_by_more():
    memory = HeadMemory()
    for _ in range(3):
        reader = requests(memory)
        assert shown(reader.receive(GET + GET)) == [(b"GET", b"/", b"")]
        assert reader.buffered == len(GET)


def test_one_empty_line_before_a_request_is_tolerated():
    reader = requests()
    assert reader.receive(b"\r") == []
    assert reader.receive(b"\n") == []
    assert reader.is_idle
    assert len(reader.receive(GET)) == 1
    reader.start_next()
    assert len(reader.receive(b"\r\n" + GET)) == 1


def test_an_empty_line_before_each_of_several_known_requests_is_tolerated():
    reader = requests()
    for _ in range(5):
        assert reader.receive(b"\r\n") == []
        assert len(reader.receive(GET)) == 1
        assert reader.start_next() == []


@pytest.mark.parametrize("data", [b"\r\n\r\n", b"\r\n\r\n" + GET, b"\r\n\r", b"\r\n\n"])
def test_two_empty_lines_are_refused_however_they_are_split(data):
    assert refusal(requests().receive, data)[0] == 400
    reader = requests()

    def byte_by_byte():
        for byte in data:
            reader.receive(bytes([byte]))

    assert refusal(byte_by_byte)[0] == 400


@pytest.mark.parametrize("data", [b"\x16\x03\x01", b"\x00", b" GET", b"\n", b"\rG", b"\xc3\xa9"])
def test_what_cannot_become_a_request_is_refused_at_once(data):
    assert refusal(requests().receive, data) == (400, "bad_request_line")


def test_limits():
    assert refusal(requests(max_head_bytes=20).receive, GET) == (431, "head_too_large")
    assert refusal(requests(max_head_bytes=20).receive, GET[:22]) == (431, "head_too_large")
    long_target = b"GET /" + b"a" * 100 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    assert refusal(requests(max_target_bytes=50).receive, long_target) == (414, "target_too_long")
    assert refusal(requests(max_target_bytes=50, max_head_bytes=90).receive, long_target)[0] == 414
    many = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 3 + b"\r\n"
    assert refusal(requests(max_fields=3).receive, many) == (431, "too_many_fields")
    assert len(requests(max_head_bytes=len(GET)).receive(GET)) == 1


def test_a_lax_listener_does_not_teach_a_strict_one():
    memory = HeadMemory()
    for _ in range(3):
        requests(memory).receive(GET)
    assert refusal(requests(memory, max_head_bytes=20).receive, GET) == (431, "head_too_large")


def test_after_a_failure_everything_fails_the_same_way():
    reader = requests()
    for call in ((reader.receive, b"\x00"), (reader.receive, GET), (reader.receive_eof,)):
        assert refusal(*call) == (400, "bad_request_line")


@pytest.mark.parametrize("cold", [True, False])
def test_a_bad_body_fails_behind_a_new_and_a_known_head(cold):
    memory = HeadMemory()
    data = CHUNKED.replace(b"hello\r\n", b"helloX\n")
    for _ in range(1 if cold else 3):
        assert refusal(requests(memory).receive, data) == (400, "bad_chunk")
    reader = requests(memory)
    reader.receive(data[:60])
    assert refusal(reader.receive, data[60:]) == (400, "bad_chunk")


def test_end_of_connection():
    assert requests().receive_eof() == []
    reader = requests()
    reader.receive(GET)
    assert reader.receive_eof() == []
    reader = requests()
    reader.receive(GET[:-1])
    assert refusal(reader.receive_eof) == (400, "eof_in_head")
    reader = requests()
    reader.receive(POST[:-1])
    assert refusal(reader.receive_eof) == (400, "eof_in_body")


def test_end_of_connection_behind_pipelined_requests():
    reader = requests()
    reader.receive(GET + GET + GET[:5])
    assert reader.receive_eof() == []
    assert len(reader.start_next()) == 1
    assert refusal(reader.start_next) == (400, "eof_in_head")


def test_start_next_too_early_is_our_bug():
    with pytest.raises(LocalProtocolError):
        requests().start_next()


def test_a_connection_of_unique_heads_stops_remembering_and_finds_its_way_back():
    memory = HeadMemory()
    reader = requests(memory)

    def exchange(data):
        head = reader.receive(data)[0].head
        reader.start_next()
        return head

    for number in range(20):
        exchange(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
    assert exchange(GET) is not exchange(GET)
    for _ in range(250):
        exchange(GET)
    assert exchange(GET) is exchange(GET)


def test_a_hit_through_the_longer_way_counts_as_one():
    reader = requests()
    for number in range(40):
        reader.receive(b"GET / HTTP/1.1\r\nHost: a\r\nx-request-id: %d\r\n\r\n" % number)
        reader.start_next()
    assert reader._memo_end > 0


# --- responses ---

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


def test_a_whole_response_new_and_known():
    memory = HeadMemory()
    for _ in range(4):
        reader = responses(memory=memory)
        assert not reader.is_idle
        assert shown(reader.receive(OK + b"hello")) == [(200, Framing.LENGTH, False), b"hello", END]
        assert reader.is_idle
        assert reader.receive_eof() == []


def test_a_response_in_pieces():
    reader = responses()
    assert reader.receive(b"HT") == []
    assert reader.receive(OK[2:-2]) == []
    assert shown(reader.receive(b"\r\n")) == [(200, Framing.LENGTH, False)]
    assert reader.receive(b"") == []
    assert reader.receive(b"hell") == [b"hell"]
    assert reader.receive(b"o") == [b"o", END]


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_an_answer_to_head_has_no_body(head):
    reader = responses(b"HEAD")
    assert shown(reader.receive(head)) == [(200, Framing.NONE, True)]
    assert reader.is_idle


def test_interim_responses_keep_the_reader_waiting():
    reader = responses()
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
    assert shown(reader.receive(data)) == [(100, Framing.NONE, True), (103, Framing.NONE, True)]
    assert not reader.is_idle
    assert refusal(reader.receive_eof) == (400, "eof_in_head")
    reader = responses()
    assert shown(reader.receive(data + OK + b"hello"))[2:] == [(200, Framing.LENGTH, False), b"hello", END]


def test_too_many_interim_responses_are_refused():
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert len(responses().receive(interim * 16)) == 16
    assert refusal(responses().receive, interim * 17) == (400, "too_many_interim")
    memory = HeadMemory()
    responses(memory=memory).receive(interim * 3)
    assert refusal(responses(memory=memory).receive, interim * 17) == (400, "too_many_interim")


def test_switching_protocols_ends_parsing():
    reader = responses()
    assert shown(reader.receive(b"HTTP/1.1 101 X\r\nUpgrade: x\r\n\r\nraw")) == [(101, Framing.NONE, True)]
    assert reader.receive(b"bytes") == []
    assert reader.buffered == 8
    assert reader.receive_eof() == []
    assert reader.take_remainder() == b"rawbytes"
    assert reader.take_remainder() == b""


def test_connect():
    reader = responses(b"CONNECT")
    assert shown(reader.receive(b"HTTP/1.1 200 OK\r\n\r\nraw")) == [(200, Framing.NONE, True)]
    assert reader.take_remainder() == b"raw"
    reader = responses(b"CONNECT")
    refused = b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"
    assert shown(reader.receive(refused)) == [(403, Framing.LENGTH, False), b"no", END]


def test_a_body_until_close():
    reader = responses()
    assert shown(reader.receive(b"HTTP/1.0 200 OK\r\n\r\nab")) == [(200, Framing.UNTIL_CLOSE, False), b"ab"]
    assert reader.receive(b"cd") == [b"cd"]
    assert reader.receive_eof() == [END]
    assert reader.receive_eof() == []


def test_a_bad_body_fails():
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"
    assert refusal(responses().receive, data) == (400, "bad_chunk")
    reader = responses()
    reader.receive(data[:-3])
    assert refusal(reader.receive, data[-3:]) == (400, "bad_chunk")


def test_end_of_connection_within_a_response():
    assert refusal(responses().receive_eof) == (400, "eof_before_head")
    reader = responses()
    reader.receive(OK[:5])
    assert refusal(reader.receive_eof) == (400, "eof_in_head")
    reader = responses()
    reader.receive(OK)
    assert refusal(reader.receive_eof) == (400, "eof_in_body")
    assert refusal(reader.receive, b"x") == (400, "eof_in_body")


def test_bytes_nobody_asked_for():
    reader = ResponseReader(HeadMemory(), HeadLimits())
    assert reader.receive(b"") == []
    assert refusal(reader.receive, OK) == (400, "unexpected_bytes")
    reader = responses()
    assert len(reader.receive(OK + b"helloHTTP/1.1 200")) == 3
    assert not reader.is_idle
    with pytest.raises(LocalProtocolError):
        reader.expect(b"GET")


def test_expect_twice_is_our_bug():
    with pytest.raises(LocalProtocolError):
        responses().expect(b"GET")


@pytest.mark.parametrize("data", [b"\x15\x03", b"SSH-2.0", b"HTTP/2", b"\r\n", b"http/1.1"])
def test_what_cannot_become_a_response_is_refused_at_once(data):
    assert refusal(responses().receive, data) == (400, "bad_status_line")


def test_response_head_limits():
    assert refusal(responses(max_head_bytes=30).receive, OK) == (431, "head_too_large")
    assert refusal(responses(max_head_bytes=30).receive, OK[:-1])[1] == "head_too_large"


def test_unique_response_heads_stop_being_remembered():
    reader = ResponseReader(HeadMemory(), HeadLimits())
    for number in range(17):
        reader.expect(b"GET")
        reader.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: %d\r\n\r\n" % number)
    assert reader._memo_end == 0


def test_a_response_head_of_the_old_generation_is_found():
    memory = HeadMemory()
    for _ in range(2):
        responses(memory=memory).receive(OK)
    table = memory.responses(HeadLimits()).memory
    table._old = dict(table)
    table.clear()
    reader = responses(memory=memory)
    reader.receive(OK)
    assert reader._misses == 0
    assert table.size == 2
