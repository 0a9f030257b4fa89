from meshproxy.config.model import Direction, FilterChain, FilterChainMatch, Listener, TcpProxy
from meshproxy.config.route import WeightedCluster
from meshproxy.transport import filter_chain
from meshproxy.transport.filter_chain import ConnectionFacts, candidates, needs_detection, select


def chain(name: str, **match: object) -> FilterChain:
    return FilterChain(name, FilterChainMatch(**match), TcpProxy(name, (WeightedCluster("c", 1),)))  # type: ignore[arg-type]


def name_of(found: FilterChain | None) -> str | None:
    return found.name if found is not None else None


MTLS_HTTP = chain(
    "mtls-http", destination_port=8080, transport_protocol="tls", application_protocols=("istio-http/1.1",)
)
MTLS_TCP = chain(
    "mtls-tcp", destination_port=8080, transport_protocol="tls", application_protocols=("istio",)
)
PLAIN = chain("plain", destination_port=8080, transport_protocol="raw_buffer")
ANY_TLS = chain("any-tls", transport_protocol="tls")


def test_the_destination_alone_leaves_the_chains_that_can_still_match():
    listener = Listener(
        "l", Direction.INBOUND, "0.0.0.0", 15006, (MTLS_HTTP, MTLS_TCP, chain("9", destination_port=9))
    )
    assert [c.name for c in candidates(listener, "10.0.0.1", 8080)] == ["mtls-http", "mtls-tcp"]
    assert [c.name for c in candidates(listener, "10.0.0.1", 9)] == ["9"]
    assert candidates(listener, "10.0.0.1", 7) == ()


def test_a_prefix_limits_the_destination_and_the_longest_wins():
    wide, narrow = (
        chain("wide", destination_prefixes=("10.0.0.0/8",)),
        chain("narrow", destination_prefixes=("10.1.0.0/16", "fd00::/8")),
    )
    listener = Listener("l", Direction.OUTBOUND, "0.0.0.0", 15001, (wide, narrow))
    assert [c.name for c in candidates(listener, "10.2.0.1", 1)] == ["wide"]
    assert candidates(listener, "192.0.2.1", 1) == ()
    assert name_of(select((wide, narrow), ConnectionFacts("10.1.2.3", 1))) == "narrow"
    assert name_of(select((wide, narrow), ConnectionFacts("fd00::1", 1))) == "narrow"


def test_a_chain_may_name_every_pod_of_a_mesh(monkeypatch):
    monkeypatch.setattr(filter_chain, "_MAX_INDEXES", 2)
    monkeypatch.setattr(filter_chain, "_indexes", {})
    pods = chain(
        "pods", destination_prefixes=(*(f"10.0.{n // 256}.{n % 256}/32" for n in range(1024)), "fd00::1/128")
    )
    wide = chain("wide", destination_prefixes=("10.0.0.0/16",))
    other = chain("other", destination_prefixes=("192.0.2.1/32",))
    listener = Listener("l", Direction.OUTBOUND, "0.0.0.0", 15001, (wide, pods, other))
    for _ in range(2):  # what was forgotten is indexed again
        filter_chain.forget_prefixes()
        assert name_of(select((wide, pods, other), ConnectionFacts("10.0.3.255", 1))) == "pods"
        assert [c.name for c in candidates(listener, "10.0.4.0", 1)] == ["wide"]
        assert [c.name for c in candidates(listener, "fd00::1", 1)] == ["pods"]
        assert [c.name for c in candidates(listener, "192.0.2.1", 1)] == ["other"]


def test_detection_is_needed_only_when_bytes_decide():
    assert not needs_detection([chain("port", destination_port=80), chain("all")])
    assert needs_detection([PLAIN])
    assert needs_detection([chain("alpn", application_protocols=("h2",))])
    assert needs_detection([chain("sni", server_names=("a",))])
    assert not needs_detection([])


def test_alpn_tells_http_from_tcp_inside_mesh_tls():
    chains = (MTLS_HTTP, MTLS_TCP, PLAIN)
    for alpn, expected in (("istio-http/1.1", "mtls-http"), ("istio", "mtls-tcp"), ("h2", None)):
        assert name_of(select(chains, ConnectionFacts("10.0.0.1", 8080, "tls", (alpn,)))) == expected
    assert name_of(select(chains, ConnectionFacts("10.0.0.1", 8080, "raw_buffer"))) == "plain"


def test_a_destination_port_beats_everything_less_specific():
    facts = ConnectionFacts("10.0.0.1", 8080, "tls", ("istio",))
    assert name_of(select((ANY_TLS, MTLS_TCP), facts)) == "mtls-tcp"
    assert name_of(select((ANY_TLS, chain("port", destination_port=8080)), facts)) == "port"
    assert name_of(select((ANY_TLS, MTLS_TCP), ConnectionFacts("10.0.0.1", 9, "tls"))) == "any-tls"


def test_exact_server_names_beat_suffixes_and_longer_suffixes_shorter():
    chains = (
        chain("exact", server_names=("a.b.example",)),
        chain("long", server_names=("*.b.example",)),
        chain("short", server_names=("*.example",)),
    )
    for name, expected in (
        ("a.b.example", "exact"),
        ("x.b.example", "long"),
        ("y.example", "short"),
        ("other", None),
    ):
        assert name_of(select(chains, ConnectionFacts("10.0.0.1", 443, "tls", (), name))) == expected


def test_nothing_matches_nothing():
    assert select((), ConnectionFacts("10.0.0.1", 1)) is None


def test_who_names_the_destination_best_decides_alone():
    """A port that is STRICT must not fall back to what holds for all others, as in Envoy."""
    strict, everything = MTLS_HTTP, chain("everything")
    listener = Listener("l", Direction.INBOUND, "0.0.0.0", 15006, (everything, strict))
    plaintext = ConnectionFacts("10.0.0.1", 8080, transport_protocol="raw_buffer")
    assert select(candidates(listener, "10.0.0.1", 8080), plaintext) is None
    assert name_of(select(candidates(listener, "10.0.0.1", 81), plaintext)) == "everything"
    wide, narrow = (
        chain("wide", destination_prefixes=("10.0.0.0/8",)),
        chain("narrow", destination_prefixes=("10.1.0.0/16",), transport_protocol="tls"),
    )
    listener = Listener("l", Direction.OUTBOUND, "0.0.0.0", 15001, (everything, wide, narrow))
    assert [c.name for c in candidates(listener, "10.1.0.1", 1)] == ["narrow"]
    assert [c.name for c in candidates(listener, "10.2.0.1", 1)] == ["wide"]
    assert [c.name for c in candidates(listener, "192.0.2.1", 1)] == ["everything"]
