import pytest

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.events import Framing
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits

UUID = b"0af76519-16cd-43dd-8448-eb211c80319c"
LIMITS = HeadLimits(max_target_bytes=64, max_fields=10)


def heads():
    return HeadMemory().requests(LIMITS)


def parse(*lines):
    return heads().parse(b"\r\n".join(lines))[0]


def refusal(*lines):
    with pytest.raises(RemoteProtocolError) as caught:
        parse(*lines)
    return caught.value.status, caught.value.reason


GET = b"GET / HTTP/1.1"
GET10 = b"GET / HTTP/1.0"
POST = b"POST / HTTP/1.1"
HOST = b"Host: a"


def test_a_plain_get():
    head = parse(b"GET /p?q HTTP/1.1", b"Host: Cat:8080", b"Accept: */*")
    assert (head.method, head.target, head.path, head.version) == (b"GET", b"/p?q", "/p", (1, 1))
    assert (head.authority, head.host) == ("cat:8080", "cat")
    assert head.headers == ((b"host", b"Cat:8080"), (b"accept", b"*/*"))
    assert (head.framing, head.content_length, head.chunked, head.end_stream) == (
        Framing.NONE,
        0,
        False,
        True,
    )
    assert (head.keep_alive, head.expect_continue, head.upgrade, head.peer_metadata) == (
        True,
        False,
        b"",
        b"",
    )
    assert head.forward == b"GET /p?q HTTP/1.1\r\nHost: Cat:8080\r\nAccept: */*\r\n"


def test_framing_by_length():
    head = parse(POST, HOST, b"Content-Length: 5")
    assert (head.framing, head.content_length, head.end_stream) == (Framing.LENGTH, 5, False)
    assert b"Content-Length: 5\r\n" in head.forward
    assert parse(POST, HOST, b"Content-Length: 0").end_stream


def test_framing_by_chunks_leaves_the_field_to_the_writer():
    head = parse(POST, HOST, b"Transfer-Encoding: chunked")
    assert (head.framing, head.chunked, head.end_stream) == (Framing.CHUNKED, True, False)
    assert head.forward == b"POST / HTTP/1.1\r\nHost: a\r\n"
    assert head.headers[1] == (b"transfer-encoding", b"chunked")


def test_hop_by_hop_fields_and_what_connection_names_are_not_sent_on():
    head = parse(
        GET, HOST, b"Connection: keep-alive, Foo", b"Foo: 1", b"Connection: bar", b"Bar: 2", b"Keep-Alive: 3",
        b"TE: trailers", b"Baz: 4",
    )  # fmt: skip
    assert head.forward == b"GET / HTTP/1.1\r\nHost: a\r\nBaz: 4\r\n"
    assert len(head.headers) == 8


@pytest.mark.parametrize(
    "name", [b"Host", b"content-length", b"Transfer-Encoding", b"authorization", b"x-forwarded-client-cert"]
)
def test_connection_may_not_name_what_the_next_hop_decides_by(name):
    assert refusal(GET, HOST, b"Connection: " + name) == (400, "bad_connection")


@pytest.mark.parametrize(
    ("line", "field", "keep_alive"),
    [
        (GET, b"Connection: close", False),
        (GET, b"Connection: foo, CLOSE", False),
        (GET, b"Connection: keep-alive", True),
        (GET10, b"A: b", False),
        (GET10, b"Connection: Keep-Alive", True),
        (GET10, b"Connection: keep-alive, close", False),
        (b"CONNECT a:80 HTTP/1.1", b"Connection: keep-alive", False),
    ],
)
def test_keep_alive(line, field, keep_alive):
    host = b"Host: a:80" if line.startswith(b"CONNECT") else HOST
    assert parse(line, host, field).keep_alive is keep_alive


def test_expect_continue_is_kept_in_forward():
    head = parse(POST, HOST, b"Expect: 100-continue", b"Content-Length: 5")
    assert head.expect_continue
    assert b"Expect: 100-continue\r\n" in head.forward


def test_expect_without_a_body_is_not_waited_for():
    assert not parse(GET, HOST, b"Expect: 100-continue").expect_continue


def test_http_10_has_no_expectations():
    head = parse(b"POST / HTTP/1.0", HOST, b"Expect: 100-continue", b"Content-Length: 5")
    assert not head.expect_continue
    assert b"Expect" not in head.forward


def test_upgrade_counts_only_when_connection_names_it_and_in_http_11():
    assert parse(GET, HOST, b"Connection: Upgrade", b"Upgrade: websocket").upgrade == b"websocket"
    both = parse(GET, HOST, b"Connection: upgrade", b"Upgrade: a", b"Upgrade: b")
    assert both.upgrade == b"a, b"
    assert b"pgrade" not in both.forward
    assert parse(GET, HOST, b"Upgrade: websocket").upgrade == b""
    assert parse(GET10, HOST, b"Connection: Upgrade", b"Upgrade: websocket").upgrade == b""


def test_the_meshs_own_fields_are_read_and_not_sent_on():
    head, request_id = heads().parse(
        b"\r\n".join(
            [GET, HOST, b"X-Request-Id: 7", b"x-envoy-peer-metadata: e30", b"x-forwarded-client-cert: By=x"]
        )
    )
    assert (head.peer_metadata, request_id) == (b"e30", b"7")
    assert head.forward == b"GET / HTTP/1.1\r\nHost: a\r\n"
    assert [name for name, _ in head.headers] == [
        b"host",
        b"x-envoy-peer-metadata",
        b"x-forwarded-client-cert",
    ]


def test_the_authority_of_the_target_and_host_agree():
    head = parse(b"GET http://Cat:80/a HTTP/1.1", b"Host: cat")
    assert (head.authority, head.target) == ("cat", b"/a")
    assert parse(b"GET http://cat/ HTTP/1.1", b"Host: cat:80").authority == "cat:80"
    assert parse(b"GET https://cat/ HTTP/1.1", b"Host: cat:443").host == "cat"
    assert parse(b"GET http://cat:81/ HTTP/1.1", b"Host: CAT:81").authority == "cat:81"


@pytest.mark.parametrize(
    ("line", "host"),
    [
        (b"GET http://a/ HTTP/1.1", b"b"),
        (b"GET http://a:81/ HTTP/1.1", b"a"),
        (b"GET http://a/ HTTP/1.1", b"a:443"),
        (b"GET http://a/ HTTP/1.1", b""),
        (b"GET http://a/ HTTP/1.0", b"b"),
        (b"CONNECT a:80 HTTP/1.1", b"b:80"),
        (b"CONNECT a:80 HTTP/1.1", b"a"),
    ],
)
def test_two_different_authorities_are_refused(line, host):
    assert refusal(line, b"Host: " + host) == (400, "host_conflict")


def test_http_10_may_leave_host_out_and_the_next_hop_still_gets_one():
    head = parse(GET10)
    assert (head.authority, head.host) == ("", "")
    assert head.forward == b"GET / HTTP/1.1\r\nhost: \r\n"
    head = parse(b"GET http://cat:81/x HTTP/1.0")
    assert (head.authority, head.host) == ("cat:81", "cat")
    assert head.forward == b"GET /x HTTP/1.1\r\nhost: cat:81\r\n"


@pytest.mark.parametrize(
    ("lines", "status", "reason"),
    [
        ((GET,), 400, "missing_host"),
        ((GET, HOST, HOST), 400, "duplicate_host"),
        ((GET10, HOST, b"Host: b"), 400, "duplicate_host"),
        ((POST, HOST, b"Content-Length: 5", b"Content-Length: 5"), 400, "duplicate_content_length"),
        ((POST, HOST, b"Content-Length: 0", b"Content-Length: 6"), 400, "duplicate_content_length"),
        ((POST, HOST, b"Transfer-Encoding: chunked", b"Content-Length: 5"), 400, "length_and_encoding"),
        ((POST, HOST, b"Content-Length: 0", b"Transfer-Encoding: chunked"), 400, "length_and_encoding"),
        (
            (POST, HOST, b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
            400,
            "bad_transfer_encoding",
        ),
        ((b"POST / HTTP/1.0", HOST, b"Transfer-Encoding: chunked"), 400, "transfer_encoding_in_http10"),
        ((b"CONNECT a:1 HTTP/1.1", b"Host: a:1", b"Content-Length: 0"), 400, "body_on_connect"),
        ((b"CONNECT a:1 HTTP/1.1", b"Host: a:1", b"Transfer-Encoding: chunked"), 400, "body_on_connect"),
        (
            (GET, HOST, b"x-envoy-peer-metadata: a", b"x-envoy-peer-metadata: a"),
            400,
            "duplicate_peer_metadata",
        ),
        ((GET, HOST, b""), 400, "bad_field"),
        ((GET, *[b"A: b"] * 11), 431, "too_many_fields"),
        ((b"GET /" + b"a" * 64 + b" HTTP/1.1", HOST), 414, "target_too_long"),
    ],
)
def test_refusals(lines, status, reason):
    assert refusal(*lines) == (status, reason)


# --- looking up ---


def resolve(table, data, remember=True):
    return table.resolve(data, data.index(b"\r\n\r\n"), remember=remember)


def test_a_repeated_head_is_the_same_object_from_the_third_time():
    table = heads()
    data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    first, _, known = resolve(table, data)
    assert not known
    second, _, known = resolve(table, data)
    assert known
    third, _, known = resolve(table, data)
    assert known
    assert first is not second
    assert second is third


def test_heads_that_differ_in_a_last_request_id_are_the_same_object():
    table = heads()
    found = [
        resolve(table, b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID:%b\r\n\r\n" % value)
        for value in (b" 1", b"2", b"\t3 ", UUID)
    ]
    assert [request_id for _, request_id, _ in found] == [b"1", b"2", b"3", UUID]
    assert found[1][0] is found[2][0] is found[3][0]
    assert found[0][0].headers == ((b"host", b"a"),)


@pytest.mark.parametrize("value", [b"a b", b"x" * 257, b"caf\xe9", b""])
def test_an_unusual_last_request_id_takes_the_ordinary_way(value):
    head, request_id, _ = resolve(heads(), b"GET / HTTP/1.1\r\nHost: a\r\nx-request-id: %b\r\n\r\n" % value)
    assert request_id == value
    assert head.headers == ((b"host", b"a"),)


def test_an_inner_request_id_is_given_and_such_heads_are_not_kept():
    table = heads()
    data = b"GET / HTTP/1.1\r\nx-request-id: 1\r\nHost: a\r\n\r\n"
    assert [resolve(table, data)[1:] for _ in range(3)] == [(b"1", False)] * 3
    assert table.memory.size == 0


def test_the_last_request_id_wins():
    data = b"GET / HTTP/1.1\r\nx-request-id: 1\r\nHost: a\r\nx-request-id: %b\r\n\r\n"
    table = heads()
    for value in (b"2", b"3", b"a b", b"4"):
        assert resolve(table, data % value)[1] == value


def test_a_request_line_alone_is_not_cut():
    with pytest.raises(RemoteProtocolError):
        resolve(heads(), b"x-request-id: 1\r\n\r\n")


def test_without_remembering_nothing_is_looked_up_or_kept():
    table = heads()
    data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert [resolve(table, data, remember=False)[2] for _ in range(3)] == [False] * 3
    assert table.memory.size == 0


def test_a_head_of_the_old_generation_is_found():
    table = heads()
    data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    resolve(table, data)
    known = resolve(table, data)[0]
    table.memory._old = dict(table.memory)
    table.memory.clear()
    assert resolve(table, data)[0] is known
