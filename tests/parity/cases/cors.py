"""What browsers may do from other origins (row 3.11)."""

from tests.parity.ask import Ask, Forwarded
from tests.parity.case import Case
from tests.parity.step import Request

_ORIGIN = ("Origin", "https://www.example.com")
_PREFLIGHT = (_ORIGIN, ("Access-Control-Request-Method", "PUT"), ("Access-Control-Request-Headers", "x-a"))
_CORS = Case(
    "cors",
    ("3.11",),
    ("HTTPRoute rules[].filters[].cors",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /listed}}]
        filters:
        - type: CORS
          cors:
            allowOrigins: ["https://www.example.com", "https://*.example.net"]
            allowMethods: [GET, PUT]
            allowHeaders: [x-a, x-b]
            exposeHeaders: [x-c]
            allowCredentials: true
            maxAge: 3600
        backendRefs: [{name: $a, port: 8080}]
      - matches: [{path: {value: /any}}]
        filters:
        - {type: CORS, cors: {allowOrigins: ["*"], allowMethods: ["*"], allowHeaders: ["*"]}}
        backendRefs: [{name: $a, port: 8080}]
    """,
    (
        Ask(
            Request("/listed", "OPTIONS", _PREFLIGHT),
            headers={
                "access-control-allow-origin": "https://www.example.com",
                "access-control-allow-methods": "~GET, ?PUT",
                "access-control-allow-headers": "~x-a, ?x-b",
                "access-control-allow-credentials": "true",
                "access-control-max-age": "3600",
            },
            forwarded=(),
        ),
        Ask(
            Request("/listed", headers=(("Origin", "https://a.b.example.net"),)),
            headers={
                "access-control-allow-origin": "https://a.b.example.net",
                "access-control-allow-credentials": "true",
                "access-control-expose-headers": "x-c",
            },
            forwarded=(Forwarded("a"),),
        ),
        Ask(
            Request("/listed", headers=(("Origin", "https://evil.example.com"),)),
            headers={"access-control-allow-origin": None},
            forwarded=(Forwarded("a"),),
        ),
        Ask(Request("/listed"), headers={"access-control-allow-origin": None}, forwarded=(Forwarded("a"),)),
        Ask(
            Request("/any", headers=(_ORIGIN,)),
            headers={
                "access-control-allow-origin": r"~\*|https://www\.example\.com",
                "access-control-allow-credentials": None,
            },
            forwarded=(Forwarded("a"),),
        ),
        Ask(
            Request("/any", "OPTIONS", _PREFLIGHT),
            headers={
                "access-control-allow-origin": r"~\*|https://www\.example\.com",
                "access-control-allow-methods": r"~\*|PUT",
            },
            forwarded=(),
        ),
        Ask(
            Request("/any", "OPTIONS", (_ORIGIN,), body=b"x"),
            forwarded=(Forwarded("a", method="OPTIONS"),),
        ),
    ),
)

_PER_BACKEND = Case(
    "cors-per-backend",
    ("3.11",),
    ("HTTPRoute rules[].backendRefs[].filters[].cors",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /a}}]
        backendRefs:
        - name: $a
          port: 8080
          filters:
          - {type: CORS, cors: {allowOrigins: ["https://www.example.com"], allowMethods: [PUT], maxAge: 7}}
      - matches: [{path: {value: /b}}]
        backendRefs: [{name: $a, port: 8080}]
    """,
    (
        Ask(
            Request("/a", "OPTIONS", _PREFLIGHT),
            headers={"access-control-allow-origin": _ORIGIN[1], "access-control-max-age": "7"},
            forwarded=(),
        ),
        Ask(
            Request("/a", headers=(_ORIGIN,)),
            headers={"access-control-allow-origin": _ORIGIN[1]},
            forwarded=(Forwarded("a"),),
        ),
        Ask(
            Request("/b", headers=(_ORIGIN,)),
            headers={"access-control-allow-origin": None},
            forwarded=(Forwarded("a"),),
        ),
    ),
)

CASES = (_CORS, _PER_BACKEND)
