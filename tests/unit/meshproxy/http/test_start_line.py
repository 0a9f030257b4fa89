import pytest

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.start_line import parse_request_line, parse_status_line


@pytest.mark.parametrize(
    ("line", "method", "target", "path", "version"),
    [
        (b"GET / HTTP/1.1", b"GET", b"/", "/", (1, 1)),
        (b"GET /a/b?c=d?e HTTP/1.0", b"GET", b"/a/b?c=d?e", "/a/b", (1, 0)),
        (b"PURGE //x HTTP/1.1", b"PURGE", b"//x", "//x", (1, 1)),
        (b'get /"<>{|}^` HTTP/1.1', b"get", b'/"<>{|}^`', '/"<>{|}^`', (1, 1)),
        (b"OPTIONS * HTTP/1.1", b"OPTIONS", b"*", "*", (1, 1)),
    ],
)
def test_origin_and_asterisk_form(line, method, target, path, version):
    parsed = parse_request_line(line)
    assert (parsed.method, parsed.target, parsed.path, parsed.version) == (method, target, path, version)
    assert parsed.authority is None
    assert parsed.forward == b"%b %b HTTP/1.1\r\n" % (method, target)


@pytest.mark.parametrize(
    ("line", "target", "authority", "host"),
    [
        (b"GET http://Cat:8080/a?b HTTP/1.1", b"/a?b", "cat:8080", "cat"),
        (b"GET HTTPS://cat HTTP/1.1", b"/", "cat", "cat"),
        (b"GET http://cat?q HTTP/1.1", b"/?q", "cat", "cat"),
        (b"OPTIONS http://cat HTTP/1.1", b"*", "cat", "cat"),
        (b"OPTIONS http://cat/ HTTP/1.1", b"/", "cat", "cat"),
        (b"GET http://[::1]:80/a HTTP/1.1", b"/a", "[::1]:80", "[::1]"),
    ],
)
def test_absolute_form_is_normalised(line, target, authority, host):
    parsed = parse_request_line(line)
    assert (parsed.target, parsed.authority, parsed.host) == (target, authority, host)
    assert b" " + target + b" " in parsed.forward


def test_authority_form_of_connect():
    parsed = parse_request_line(b"CONNECT Cat:443 HTTP/1.1")
    assert (parsed.target, parsed.path, parsed.authority, parsed.host) == (b"Cat:443", "", "cat:443", "cat")


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"", 400, "bad_request_line"),
        (b"GET /", 400, "bad_request_line"),
        (b"GET  / HTTP/1.1", 400, "bad_request_line"),
        (b"GET / HTTP/1.1 ", 400, "bad_request_line"),
        (b"GET /a b HTTP/1.1", 400, "bad_request_line"),
        (b" GET / HTTP/1.1", 400, "bad_request_line"),
        (b"GET\t/\tHTTP/1.1", 400, "bad_request_line"),
        (b"G\xc9T / HTTP/1.1", 400, "bad_method"),
        (b"G(T / HTTP/1.1", 400, "bad_method"),
        (b"GET /#top HTTP/1.1", 400, "bad_target"),
        (b"GET /\xc3\xa9 HTTP/1.1", 400, "bad_target"),
        (b"GET /\x00 HTTP/1.1", 400, "bad_target"),
        (b"GET /\x7f HTTP/1.1", 400, "bad_target"),
        (b"GET /\r HTTP/1.1", 400, "bad_target"),
        (b"GET /\n HTTP/1.1", 400, "bad_target"),
        (b"GET a HTTP/1.1", 400, "bad_target"),
        (b"GET * HTTP/1.1", 400, "bad_target"),
        (b"GET ftp://a/ HTTP/1.1", 400, "bad_target"),
        (b"GET http:/a HTTP/1.1", 400, "bad_target"),
        (b"GET http:///a HTTP/1.1", 400, "bad_target"),
        (b"GET http://user@a/ HTTP/1.1", 400, "bad_host"),
        (b"CONNECT a HTTP/1.1", 400, "bad_target"),
        (b"CONNECT a: HTTP/1.1", 400, "bad_target"),
        (b"CONNECT /a HTTP/1.1", 400, "bad_host"),
        (b"GET / HTTP/2.0", 505, "unsupported_version"),
        (b"GET / HTTP/1.2", 505, "unsupported_version"),
        (b"GET / HTTP/0.9", 505, "unsupported_version"),
        (b"GET / http/1.1", 400, "bad_version"),
        (b"GET / HTTP/1.1\n", 400, "bad_version"),
        (b"GET / HTTP/11", 400, "bad_version"),
        (b"GET / HTTP/1x1", 400, "bad_version"),
        (b"GET / HTTP/x.1", 400, "bad_version"),
        (b"GET / XXXX/1.1", 400, "bad_version"),
    ],
)
def test_request_line_refusals(line, status, reason):
    with pytest.raises(RemoteProtocolError) as caught:
        parse_request_line(line)
    assert (caught.value.status, caught.value.reason) == (status, reason)


@pytest.mark.parametrize(
    ("line", "status", "reason", "version", "forward"),
    [
        (b"HTTP/1.1 200 OK", 200, b"OK", (1, 1), b"HTTP/1.1 200 OK\r\n"),
        (b"HTTP/1.0 404 Not Found", 404, b"Not Found", (1, 0), b"HTTP/1.1 404 Not Found\r\n"),
        (b"HTTP/1.1 204 ", 204, b"", (1, 1), b"HTTP/1.1 204 \r\n"),
        (b"HTTP/1.1 599", 599, b"", (1, 1), b"HTTP/1.1 599 \r\n"),
        (b"HTTP/1.1 200 d\xe9j\xe0 vu", 200, b"d\xe9j\xe0 vu", (1, 1), b"HTTP/1.1 200 d\xe9j\xe0 vu\r\n"),
    ],
)
def test_status_line(line, status, reason, version, forward):
    parsed = parse_status_line(line)
    assert (parsed.status, parsed.reason, parsed.version, parsed.forward) == (
        status,
        reason,
        version,
        forward,
    )


@pytest.mark.parametrize(
    "line",
    [
        *[b"", b"HTTP/1.1", b"HTTP/1.1 20", b"HTTP/1.1 2000 OK", b"HTTP/1.1 099 OK", b"HTTP/1.1 +20 OK"],
        *[b"HTTP/1.1  200 OK", b"HTTP/1.1 200\tOK", b"HTTP/1.1 200 O\rK", b"HTTP/1.1 200 O\nK"],
        *[b"HTTP/1.1 200 \x00", b"HTTP/2 200 OK", b"HTTP/2.0 200 OK", b"ICY 200 OK"],
    ],
)
def test_status_line_refusals(line):
    with pytest.raises(RemoteProtocolError):
        parse_status_line(line)
