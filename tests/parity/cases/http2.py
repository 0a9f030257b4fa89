"""HTTP/2 on either side of the proxy (row 3.15)."""

from collections.abc import Mapping
from dataclasses import replace

from tests.parity.ask import Ask, Forwarded
from tests.parity.call import FINE, GET, call, calling
from tests.parity.case import Case, Pod, pods
from tests.parity.script import HANG, Answer
from tests.parity.share import Shares
from tests.parity.step import Request, Step

_ANSWER = Answer(200, (("x-one", "1"), ("set-cookie", "a=1"), ("set-cookie", "b=2")), "body")
_BETWEEN = (("1.1", "2"), ("2", "1.1"), ("2", "2"))
"""The client's version and the server's; 1.1 to 1.1 is all the other cases."""


def _between(client: str, server: str) -> str:
    return f"h{client[0]}-to-h{server[0]}"


def _case(name: str, client: str, server: str, *steps: Ask, answer: Answer = _ANSWER) -> Case:
    versioned: list[Step] = [replace(one, request=replace(one.request, version=client)) for one in steps]
    protocol = "http2" if server == "2" else "http"
    full = f"{name}-{_between(client, server)}"
    return Case(full, ("3.15",), (), "", tuple(versioned), {"a": pods(answer)}, protocol=protocol)


def _pass(
    request: Request,
    server: str,
    seen: Mapping[str, str | None] | None = None,
    got: Mapping[str, str | None] | None = None,
    status: int = 200,
) -> Ask:
    forwarded = (Forwarded("a", request.path, seen or {}, request.method, version=server),)
    return Ask(request, status, got or {}, forwarded=forwarded)


def _plain(client: str, server: str) -> Case:
    headers = (("x-a", "1"), ("x-a", "2"), ("accept", "*/*"), ("user-agent", "me/1"))
    return _case(
        "http2-requests",
        client,
        server,
        _pass(Request("/x?y=%20", headers=headers), server, {"user-agent": "me/1"}, {"x-one": "1"}),
        _pass(Request("/", "POST", body=b"x" * 1000), server),
        _pass(Request("/", "PUT", headers=(("content-length", "3"),), body=b"abc"), server)
        if client == "2"
        else _pass(Request("/", "PUT", body=b"abc"), server),
        _pass(Request("/", "HEAD"), server),
        _pass(Request("/", "OPTIONS"), server),
        _pass(Request("/", "DELETE"), server),
    )


def _host(client: str, server: str) -> Case:
    vip = Request("/", host="$vip")
    return _case("http2-authority", client, server, _pass(Request("/"), server), _pass(vip, server))


def _cookies(client: str, server: str) -> Case:
    one = Request("/", headers=(("cookie", "a=1; b=2"), ("x-last", "1")))
    several = Request("/", headers=(("cookie", "a=1"), ("cookie", "b=2"), ("x-last", "1")))
    steps = [_pass(one, server, got={"set-cookie": "a=1, b=2"})]
    if client == "2":
        steps.append(_pass(several, server, {"cookie": "a=1; b=2"}))
    return _case("http2-cookies", client, server, *steps)


def _trailers(client: str, server: str) -> Case:
    answer = Answer(200, (("trailer", "x-sum"),), "body", trailers=(("x-sum", "42"),))
    asked = Request("/", "POST", (("te", "trailers"),), body=b"abc", trailers=(("x-check", "7"),))
    return _case(
        "http2-trailers",
        client,
        server,
        Ask(asked, trailers={"x-sum": "42"}, forwarded=(Forwarded("a", trailers={"x-check": "7"}),)),
        answer=answer,
    )


def _connection_fields(client: str, server: str) -> Case:
    """Only HTTP/1.1 has them."""
    fields = (("connection", "x-hop"), ("x-hop", "1"), ("keep-alive", "timeout=5"), ("te", "trailers, gzip"))
    return _case(
        "http2-connection-fields",
        client,
        server,
        _pass(Request("/", headers=fields), server, {"connection": None, "keep-alive": None}),
    )


def _statuses(client: str, server: str, status: int) -> Case:
    answer = Answer(status, (("location", "/there"),))
    return _case(
        f"http2-status-{status}", client, server, _pass(Request("/"), server, status=status), answer=answer
    )


_LOCAL = Case(
    "http2-local-replies",
    ("3.15", "3.53"),
    ("HTTPRoute rules[].matches[].path",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /empty}}]
        backendRefs: [{name: $b, port: 8080}]
      - matches: [{path: {value: /to}}]
        filters: [{type: RequestRedirect, requestRedirect: {hostname: there}}]
    """,
    (
        Ask(Request("/none", version="2"), 404, forwarded=()),
        Ask(Request("/empty", version="2"), 503, forwarded=()),
        Ask(Request("/empty", "POST", body=b"x", version="2"), 503, forwarded=()),
        Ask(Request("/to", version="2"), 302, forwarded=()),
        Ask(Request("/to", "HEAD", version="2"), 302, forwarded=()),
        call("/none", 12),
        call("/empty", 14),
    ),
    {"a": pods(_ANSWER), "b": ()},
)

_CALL_OVER_HTTP_1 = Case(
    "grpc-asked-over-http-1",
    ("3.14",),
    (),
    "",
    (Ask(calling(version="1.1"), 503, forwarded=()),),
    {"a": ()},
    protocol="grpc",
)

_CALL_TO_HTTP_1 = Case(
    "grpc-to-a-server-of-http-1",
    ("3.14", "3.15"),
    (),
    "",
    (Ask(calling(), trailers={"grpc-status": "0"}, forwarded=(Forwarded("a", GET, version="1.1"),)),),
    {"a": pods(FINE)},
)

_MESHED = Case(
    "http2-mesh-tls-to-a-pod",
    ("3.15",),
    (),
    "",
    (
        _pass(Request("/x?y", version="2"), "2"),
        _pass(Request("/x", "POST", body=b"x" * 100_000), "2"),
        Shares(Request("/", version="2"), 20, {"a": 1.0}, drawn=False),
    ),
    {"a": (Pod((_ANSWER,), where="meshed"),)},
    protocol="http2",
)

_TIMEOUT = Case(
    "http2-timeout-of-a-rule",
    ("3.15", "3.30"),
    ("HTTPRoute rules[].timeouts.request",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - timeouts: {request: 200ms}
        backendRefs: [{name: $a, port: 8080}]
    """,
    (
        Ask(Request("/", version="2"), 504, at_least=0.2, attempts=1),
        Ask(Request("/"), 504, at_least=0.2, attempts=1),
    ),
    {"a": pods(HANG)},
    protocol="http2",
)

_TOO_LARGE = Case(
    "http2-head-that-is-too-large",
    ("3.15",),
    (),
    "",
    (
        _pass(Request("/", headers=(("x-big", "a" * 30_000),), version="2"), "2"),
        Ask(Request("/", headers=(("x-big", "a" * 70_000),), version="2"), 431, forwarded=()),
    ),
    {"a": pods(_ANSWER)},
    protocol="http2",
)

_MIRRORED_TRAILERS = Case(
    "http2-trailers-of-copies",
    ("3.15", "3.7"),
    ("HTTPRoute rules[].filters[].requestMirror",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - filters: [{type: RequestMirror, requestMirror: {backendRef: {name: $b, port: 8080}}}]
        backendRefs: [{name: $a, port: 8080}]
    """,
    (
        Ask(
            Request("/", "POST", body=b"abc", trailers=(("x-check", "7"),), version="2"),
            forwarded=tuple(Forwarded(one, version="2", trailers={"x-check": "7"}) for one in "ab"),
        ),
    ),
    {"a": pods(_ANSWER), "b": pods(_ANSWER)},
    protocol="http2",
)

CASES = (
    *(_plain(*versions) for versions in _BETWEEN),
    *(_host(*versions) for versions in _BETWEEN),
    *(_cookies(*versions) for versions in _BETWEEN),
    *(_trailers(*versions) for versions in _BETWEEN),
    _connection_fields("1.1", "2"),
    *(_statuses(*versions, status) for versions in _BETWEEN for status in (204, 304)),
    _LOCAL,
    _CALL_OVER_HTTP_1,
    _CALL_TO_HTTP_1,
    _MESHED,
    _TIMEOUT,
    _TOO_LARGE,
    _MIRRORED_TRAILERS,
)
