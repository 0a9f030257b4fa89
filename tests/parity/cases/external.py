"""TCP, TLS by SNI, hosts outside the mesh, inbound traffic (rows 3.17, 3.18, 3.20)."""

import contextlib
import ssl

from tests.parity.ask import Ask, Forwarded, ask
from tests.parity.case import ONE, Case, Pod
from tests.parity.share import Greeting, Shares
from tests.parity.step import Request

_TCP = Case(
    "tcp-service",
    ("3.17",),
    (),
    "",
    (Greeting({"a": 1.0}),),
    protocol="tcp",
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
    protocol="tcp",
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
    protocol="tcp",
)

_TCP_NO_ENDPOINTS = Case(
    "tcp-service-without-endpoints",
    ("3.17", "3.53"),
    (),
    "",
    (Greeting({"": 1.0}),),
    {"a": ()},
    protocol="tcp",
)


def hello(server: str) -> bytes:
    """The ClientHello of a client that asks for `server`."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=server)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


_TLS_ROUTE = Case(
    "tls-route-by-server-name",
    ("3.18",),
    ("TLSRoute hostnames", "TLSRoute rules[].backendRefs"),
    """
    kind: TLSRoute
    name: $case-one
    spec:
      hostnames: [one.example.com]
      rules: [{backendRefs: [{name: $b, port: 9000}]}]
    ---
    kind: TLSRoute
    name: $case-any
    spec:
      hostnames: ["*.example.com"]
      rules: [{backendRefs: [{name: $c, port: 9000}]}]
    """,
    (
        Greeting({"b": 1.0}, hello=hello("one.example.com")),
        Greeting({"c": 1.0}, hello=hello("two.example.com")),
        Greeting({"c": 1.0}, hello=hello("a.two.example.com")),
        Greeting({"": 1.0}, hello=hello("example.org")),
    ),
    {"a": ONE, "b": ONE, "c": ONE},
    protocol="tls",
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
    protocol="tcp",
)

_DNS = Case(
    "service-entry-dns",
    ("3.20",),
    ("ServiceEntry resolution",),
    """
    kind: ServiceEntry
    spec:
      hosts: [dns.example.com]
      ports: [{number: 8080, name: http, protocol: HTTP}]
      resolution: DNS
      endpoints: [{address: $address_a}]
    """,
    (ask("/x", at="a", host="dns.example.com", address="10.96.250.9"),),
)

_WILDCARD = Case(
    "service-entry-wildcard",
    ("3.20",),
    ("ServiceEntry hosts",),
    """
    kind: ServiceEntry
    spec:
      hosts: ["*.wild.example.com"]
      ports: [{number: 8080, name: http, protocol: HTTP}]
      resolution: NONE
    """,
    (ask("/x", at="a", host="one.wild.example.com", address="$a"),),
)

_ENTRY_TLS = Case(
    "service-entry-tls",
    ("3.20", "3.18"),
    ("ServiceEntry ports[].protocol",),
    """
    kind: ServiceEntry
    name: $case-one
    spec:
      hosts: [one.tls.example.com]
      ports: [{number: 7443, name: tls, protocol: TLS, targetPort: 9000}]
      resolution: STATIC
      endpoints: [{address: $address_a}]
    ---
    kind: ServiceEntry
    name: $case-two
    spec:
      hosts: [two.tls.example.com]
      ports: [{number: 7443, name: tls, protocol: TLS, targetPort: 9000}]
      resolution: STATIC
      endpoints: [{address: $address_b}]
    """,
    (
        Greeting({"a": 1.0}, address="10.96.250.3", port=7443, hello=hello("one.tls.example.com")),
        Greeting({"b": 1.0}, address="10.96.250.3", port=7443, hello=hello("two.tls.example.com")),
    ),
    {"a": ONE, "b": ONE},
    protocol="tls",
)

_EXTERNAL_NAME = Case(
    "external-name-of-a-service",
    ("3.20",),
    ("Service externalName",),
    """
    kind: Service
    name: $case-alias
    spec:
      type: ExternalName
      externalName: $a.shop.svc.cluster.local
      ports: [{name: http, port: 8080}]
    """,
    (
        ask("/x", at="a", host="external-name-of-a-service-alias.shop:8080"),
        ask("/x", at="a", host="external-name-of-a-service-alias"),
    ),
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

CASES = (
    _TCP,
    _TCP_ROUTE,
    _TLS_ROUTE,
    _TCP_INVALID,
    _TCP_NO_ENDPOINTS,
    _STATIC,
    _ENTRY_TCP,
    _DNS,
    _WILDCARD,
    _ENTRY_TLS,
    _EXTERNAL_NAME,
    _INBOUND,
)
