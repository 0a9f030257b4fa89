"""What h11 reads is compared with what we say we read: here we say something else."""

import pytest

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.codec import scan_codec
from meshproxy.http.events import END, Trailers
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits
from meshproxy.http.second_reading import SecondReading

LIMITS = HeadLimits()
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
WITH_ID = b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: 1\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"


def request_head(data):
    [start] = scan_codec(HeadMemory(), LIMITS).request_reader().receive(data)
    return start.head


def response_head(data, method=b"GET"):
    reader = scan_codec(HeadMemory(), LIMITS).response_reader()
    reader.expect(method)
    [start] = reader.receive(data)
    return start.head


def requests():
    return SecondReading.of_request(LIMITS)


def responses(method=b"GET"):
    return SecondReading.of_response(LIMITS, method)


def refusal(call, *arguments, **named):
    with pytest.raises(RemoteProtocolError) as caught:
        call(*arguments, **named)
    return caught.value.status, caught.value.reason


DISAGREE = (400, "readers_disagree")


@pytest.mark.parametrize("data", [GET, POST, CHUNKED])
def test_agreement_about_a_request_head(data):
    requests().request(data, request_head(data), b"")


def test_the_id_is_compared_too():
    requests().request(WITH_ID, request_head(WITH_ID), b"1")
    assert refusal(requests().request, WITH_ID, request_head(WITH_ID), b"2") == DISAGREE
    assert refusal(requests().request, WITH_ID, request_head(WITH_ID), b"") == DISAGREE


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (GET, GET.replace(b"Host", b"A: b\r\nHost")),
        (GET, GET.replace(b"Host: a", b"Host: b")),
        (GET, POST),
        (POST.replace(b"POST", b"GET"), GET),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", GET),
        (GET[:-2], GET),
    ],
)
def test_a_request_head_read_differently(data, said):
    assert refusal(requests().request, data, request_head(said), b"")[1] in {
        "readers_disagree",
        "refused_by_h11",
    }


def test_another_framing_of_a_request():
    head = request_head(POST)
    head.end_stream = True
    assert refusal(requests().request, POST, head, b"") == DISAGREE


def test_what_h11_refuses_is_refused_with_its_status_and_without_its_words():
    data = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: secret\r\n\r\n"
    with pytest.raises(RemoteProtocolError) as caught:
        requests().request(data, request_head(GET), b"")
    assert (caught.value.status, caught.value.reason) == (501, "refused_by_h11")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("data", [OK, UNTIL_CLOSE, b"HTTP/1.1 200 \r\n\r\n", b"HTTP/1.1 103 X\r\n\r\n"])
def test_agreement_about_a_response_head(data):
    responses().response(data, response_head(data), end_stream=False)


def test_agreement_about_responses_without_a_body():
    responses(b"HEAD").response(OK, response_head(OK, b"HEAD"), end_stream=True)
    responses(b"CONNECT").response(OK, response_head(OK, b"CONNECT"), end_stream=True)
    responses().response(b"HTTP/1.1 101 X\r\n\r\n", response_head(b"HTTP/1.1 101 X\r\n\r\n"), end_stream=True)


def test_a_response_head_read_differently():
    assert refusal(responses().response, OK, response_head(UNTIL_CLOSE), end_stream=False) == DISAGREE
    assert refusal(responses().response, OK, response_head(OK), end_stream=True) == DISAGREE
    assert refusal(responses(b"HEAD").response, OK, response_head(OK), end_stream=False) == DISAGREE
    assert refusal(responses().response, OK[:-2], response_head(OK), end_stream=False) == DISAGREE


def chunked():
    reading = requests()
    reading.request(CHUNKED, request_head(CHUNKED), b"")
    return reading


def fixed():
    reading = requests()
    reading.request(POST, request_head(POST), b"")
    return reading


def test_agreement_about_a_body():
    reading = fixed()
    reading.body(b"he", [b"he"], rest=None)
    reading.body(b"lloGET", [b"llo", END], rest=b"GET")
    reading = chunked()
    reading.body(b"5\r\nhel", [b"hel"], rest=None)
    trailers = b"lo\r\n0\r\nA: b\r\nx-request-id: 1\r\n\r\nGET"
    reading.body(trailers, [b"lo", Trailers(((b"a", b"b"),)), END], rest=b"GET")


@pytest.mark.parametrize(
    ("make", "data", "ours", "rest"),
    [
        (fixed, b"hello", [b"hellO", END], b""),
        (fixed, b"hello", [b"hell"], None),
        (fixed, b"hello", [b"hello"], None),
        (fixed, b"helloG", [b"hello", END], b""),
        (fixed, b"hell", [b"hell", END], b""),
        (chunked, b"0\r\nA: b\r\n\r\n", [END], b""),
        (chunked, b"0\r\n\r\n", [Trailers(((b"a", b"b"),)), END], b""),
        (chunked, b"0\r\nA: b\n\r\n", [], None),
    ],
)
def test_a_body_read_differently(make, data, ours, rest):
    assert refusal(make().body, data, ours, rest=rest) == DISAGREE


def test_a_body_h11_refuses():
    assert refusal(chunked().body, b"x\r\n", [], rest=None) == (400, "refused_by_h11")


def test_the_end_of_a_body_without_a_length():
    reading = responses()
    reading.response(UNTIL_CLOSE, response_head(UNTIL_CLOSE), end_stream=False)
    reading.body(b"any", [b"any"], rest=None)
    reading.end()
    reading = responses()
    reading.response(OK, response_head(OK), end_stream=False)
    assert refusal(reading.end) == (400, "refused_by_h11")
