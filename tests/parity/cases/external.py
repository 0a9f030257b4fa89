"""TCP, TLS by SNI, hosts outside the mesh, inbound traffic (rows 3.17, 3.18, 3.20)."""

from tests.parity.case import ONE, Case, Pod
from tests.parity.step import Ask, Forwarded, Greeting, Request, Shares, ask

_TCP = Case(
    "tcp-service",
    ("3.17",),
    (),
    "",
    (Greeting({"a": 1.0}),),
    tcp=True,
)

_TCP_ROUTE = Case(
    "tcp-route-weights",
    ("3.17",),
    ("TCPRoute rules[].backendRefs[].weight",),
    """
    kind: TCPRoute
    spec:
      rules:
      - backendRefs:
        - {name: $a, port: 9000, weight: 3}
        - {name: $b, port: 9000, weight: 1}
        - {name: $c, port: 9000, weight: 0}
    """,
    (Greeting({"a": 0.75, "b": 0.25, "c": 0.0}, 200),),
    {"a": ONE, "b": ONE, "c": ONE},
    tcp=True,
)

_TCP_INVALID = Case(
    "tcp-route-without-a-backend",
    ("3.17", "3.4"),
    ("TCPRoute rules[].backendRefs",),
    """
    kind: TCPRoute
    spec: {rules: [{backendRefs: [{name: nobody, port: 9000}]}]}
    """,
    (Greeting({"": 1.0}),),
    tcp=True,
)

_TCP_NO_ENDPOINTS = Case(
    "tcp-service-without-endpoints",
    ("3.17", "3.53"),
    (),
    "",
    (Greeting({"": 1.0}),),
    {"a": ()},
    tcp=True,
)

_STATIC = Case(
    "service-entry-static",
    ("3.20",),
    ("ServiceEntry hosts", "ServiceEntry endpoints", "ServiceEntry resolution"),
    """
    kind: ServiceEntry
    spec:
      hosts: [static.example.com]
      addresses: [10.96.250.1]
      ports: [{number: 8080, name: http, protocol: HTTP}]
      resolution: STATIC
      endpoints: [{address: $address_a, weight: 3}, {address: $address_b}]
    """,
    (
        Shares(Request("/", host="static.example.com"), 40, {"a": 0.75, "b": 0.25}, drawn=False),
        Shares(Request("/", host="static.example.com:8080"), 40, {"a": 0.75, "b": 0.25}, drawn=False),
        Shares(Request("/", host="10.96.250.1:8080"), 40, {"a": 0.75, "b": 0.25}, drawn=False),
    ),
    {"a": ONE, "b": ONE},
)

_ENTRY_TCP = Case(
    "service-entry-tcp",
    ("3.20", "3.17"),
    ("ServiceEntry addresses", "ServiceEntry ports[].targetPort"),
    """
    kind: ServiceEntry
    spec:
      hosts: [tcp.example.com]
      addresses: [10.96.250.2]
      ports: [{number: 7000, name: tcp, protocol: TCP, targetPort: 9000}]
      resolution: STATIC
      endpoints: [{address: $address_a}]
    """,
    (Greeting({"a": 1.0}, address="10.96.250.2", port=7000),),
    tcp=True,
)

_INBOUND = Case(
    "mesh-tls-to-a-pod",
    ("3.4",),
    (),
    "",
    (
        Ask(
            Request("/x?y", headers=(("X-Forwarded-Client-Cert", "By=me"),)),
            forwarded=(
                Forwarded(
                    "a",
                    "/x?y",
                    {"x-forwarded-client-cert": "~.*URI=spiffe://cluster.local/ns/shop/sa/catalog"},
                ),
            ),
        ),
        ask("/", at="a", method="POST", body=b"x" * 100_000),
    ),
    {"a": (Pod(where="meshed"),)},
)

CASES = (_TCP, _TCP_ROUTE, _TCP_INVALID, _TCP_NO_ENDPOINTS, _STATIC, _ENTRY_TCP, _INBOUND)
