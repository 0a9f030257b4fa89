"""ServiceEntries: TLS by server name, wildcards, endpoints inside the mesh, policies, what is held twice."""

from google.protobuf.json_format import MessageToDict

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.listener.v3.listener_pb2 import Listener
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext
from control_plane.resources.manifest import Manifest
from control_plane.snapshot import CLUSTER_TYPE, LISTENER_TYPE
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh
from tests.unit.control_plane.translate.test_listeners import _chains, _target
from tests.unit.control_plane.translate.test_pod_address import _prefixes

TLS = {"number": 443, "name": "tls", "protocol": "TLS"}
HTTP = {"number": 80, "name": "http", "protocol": "HTTP"}


def entry(name: str = "api", created: str = build.EARLY, **spec: object) -> Manifest:
    whole = {"hosts": [f"{name}.example.com"], "resolution": "DNS", "ports": [TLS], **spec}
    return {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": "ServiceEntry",
        "metadata": build.meta(name, created=created),
        "spec": whole,
    }


def policy(kind: str = "TrafficPolicy", section: str = "", **spec: object) -> Manifest:
    ref = {"group": "meshproxy.io", "kind": "ServiceEntry", "name": "api"}
    return {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": kind,
        "metadata": build.meta("p"),
        "spec": {"targetRefs": [{**ref, "sectionName": section} if section else ref], **spec},
    }


def _server_names(listener: Listener) -> dict[str, list[str]]:
    return {
        chain.name: list(chain.filter_chain_match.server_names)
        for chain in listener.filter_chains
        if chain.filter_chain_match.transport_protocol == "tls"
    }


def test_an_external_host_is_a_cluster_and_a_virtual_host() -> None:
    secure = {"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 443, "tls": {}}
    snapshot = mesh.translate(mesh.shop(entry(ports=[secure], addresses=["240.0.0.1"])))
    made = mesh.cluster(snapshot, "outbound|80||api.example.com")
    assert made.type == Cluster.STRICT_DNS
    address = made.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address
    assert (address.address, address.port_value) == ("api.example.com", 443)
    context = UpstreamTlsContext()
    assert made.transport_socket.typed_config.Unpack(context)
    assert context.sni == "api.example.com"
    validation = context.common_tls_context.validation_context
    assert [one.matcher.exact for one in validation.match_typed_subject_alt_names] == ["api.example.com"]
    host = mesh.virtual_host(snapshot, "api.example.com", 80)
    assert list(host.domains) == ["api.example.com", "api.example.com:80", "240.0.0.1", "240.0.0.1:80"]
    assert host.routes[0].route.cluster == "outbound|80||api.example.com"
    assert mesh.listener(snapshot, "0.0.0.0_80")


def test_external_addresses_and_none() -> None:
    tcp = {"number": 5432, "name": "db", "protocol": "TCP"}
    static = entry(
        hosts=["a.example", "b.example"],
        resolution="STATIC",
        addresses=["240.0.0.1"],
        ports=[tcp, {"number": 8080, "name": "http", "protocol": "HTTP"}],
        endpoints=[{"address": "192.0.2.1", "ports": {"db": 5433}, "weight": 3}],
    )
    snapshot = mesh.translate(mesh.shop(static))
    (host,) = mesh.cluster(snapshot, "outbound|5432||a.example").load_assignment.endpoints[0].lb_endpoints
    assert (host.endpoint.address.socket_address.port_value, host.load_balancing_weight.value) == (5433, 3)
    assert "240.0.0.1_5432" in snapshot.of_type(LISTENER_TYPE)
    assert "outbound|5432||b.example" in snapshot.of_type(CLUSTER_TYPE)
    assert "240.0.0.1" not in mesh.virtual_host(snapshot, "a.example").domains
    none = entry(resolution="NONE", ports=[{"number": 8080, "name": "http", "protocol": "HTTP"}])
    made = mesh.cluster(mesh.translate(mesh.shop(none)), "outbound|8080||api.example.com")
    assert (made.type, made.lb_policy) == (Cluster.ORIGINAL_DST, Cluster.CLUSTER_PROVIDED)
    assert not made.HasField("load_assignment")


def test_tls_without_an_address_is_told_by_the_server_name() -> None:
    wild = entry("wild", hosts=["*.example.org"], resolution="NONE")
    snapshot = mesh.translate(mesh.shop(entry(), wild))
    listener = mesh.listener(snapshot, "0.0.0.0_443")
    assert _server_names(listener) == {
        "tls-api.example.com": ["api.example.com"],
        "tls-*.example.org": ["*.example.org"],
        "tls-unknown": [],
    }
    assert _chains(listener) == {
        "tls-api.example.com": "outbound|443||api.example.com",
        "tls-*.example.org": "outbound|443||*.example.org",
        "tls-unknown": "PassthroughCluster",
        "pods": "MeshPodCluster",
    }
    assert _prefixes(listener, "pods") == ["10.244.0.7/32"]
    assert _target(listener.default_filter_chain) == "PassthroughCluster"
    assert [one.name for one in listener.listener_filters] == ["envoy.filters.listener.tls_inspector"]
    assert mesh.cluster(snapshot, "outbound|443||*.example.org").type == Cluster.ORIGINAL_DST
    closed = mesh.translate(mesh.shop(entry()), settings=mesh.REGISTRY_ONLY)
    listener = mesh.listener(closed, "0.0.0.0_443")
    assert _chains(listener)["tls-unknown"] == "BlackHoleCluster"
    assert _target(listener.default_filter_chain) == "BlackHoleCluster"


def test_http_and_tls_may_share_a_port() -> None:
    snapshot = mesh.translate(mesh.shop(entry(ports=[{**TLS, "number": 8080}])))
    listener = mesh.listener(snapshot, "0.0.0.0_8080")
    assert _chains(listener) == {
        "http": "rds 8080",
        "pods": "MeshPodCluster",
        "tls-api.example.com": "outbound|8080||api.example.com",
        "tls-unknown": "PassthroughCluster",
    }
    assert listener.listener_filters


def test_endpoints_inside_the_mesh_are_reached_by_mesh_tls() -> None:
    endpoints = [
        {"address": "10.244.0.7"},
        {"address": "10.9.9.9"},
        {"address": "10.9.9.8", "serviceAccount": "vm"},
    ]
    inside = entry(location="MESH_INTERNAL", resolution="STATIC", endpoints=endpoints, ports=[HTTP])
    cluster = mesh.cluster(mesh.translate(mesh.shop(inside)), "outbound|80||api.example.com")
    hosts = cluster.load_assignment.endpoints[0].lb_endpoints
    told = [MessageToDict(host.metadata).get("filterMetadata", {}) for host in hosts]
    assert [one.get("meshproxy.io", {}).get("spiffe_id", "") for one in told] == [
        "spiffe://cluster.local/ns/shop/sa/catalog",
        "",
        "spiffe://cluster.local/ns/shop/sa/vm",
    ]
    assert [match.name for match in cluster.transport_socket_matches] == [
        "tlsMode-mutual",
        "tlsMode-disabled",
    ]
    off = mesh.cluster(
        mesh.translate(mesh.shop(inside), settings=mesh.DISABLED), "outbound|80||api.example.com"
    )
    assert not off.transport_socket_matches
    outside = mesh.cluster(
        mesh.translate(mesh.shop(entry(resolution="STATIC", endpoints=endpoints[:1], ports=[HTTP]))),
        "outbound|80||api.example.com",
    )
    assert not outside.load_assignment.endpoints[0].lb_endpoints[0].HasField("metadata")


def test_a_pod_that_takes_the_address_makes_the_cluster_anew() -> None:
    inside = entry(
        location="MESH_INTERNAL", resolution="STATIC", endpoints=[{"address": "10.9.9.9"}], ports=[HTTP]
    )
    index = mesh.shop(inside)
    name = "outbound|80||api.example.com"
    assert not mesh.cluster(mesh.translate(index), name).transport_socket_matches
    index.apply(build.pod("vm", ip="10.9.9.9", account="vm"))
    assert mesh.cluster(mesh.translate(index), name).transport_socket_matches


def test_policies_hold_for_entries() -> None:
    timeouts = policy(timeouts={"request": "3s", "connect": "1s"}, loadBalancer={"policy": "Random"})
    fault = policy("FaultPolicy", abort={"httpStatus": 503})
    snapshot = mesh.translate(mesh.shop(entry(ports=[HTTP]), timeouts, fault))
    cluster = mesh.cluster(snapshot, "outbound|80||api.example.com")
    assert (cluster.connect_timeout.seconds, cluster.lb_policy) == (1, Cluster.RANDOM)
    route = mesh.virtual_host(snapshot, "api.example.com", 80).routes[0]
    assert route.route.timeout.seconds == 3
    assert "envoy.filters.http.fault" in route.typed_per_filter_config
    none = mesh.translate(mesh.shop(entry(ports=[HTTP], resolution="NONE"), timeouts))
    cluster = mesh.cluster(none, "outbound|80||api.example.com")
    assert (cluster.connect_timeout.seconds, cluster.lb_policy) == (1, Cluster.CLUSTER_PROVIDED)


def test_a_policy_of_one_port_is_of_that_port() -> None:
    one = policy(section="http", timeouts={"connect": "1s"})
    snapshot = mesh.translate(mesh.shop(entry(ports=[HTTP, TLS]), one))
    assert mesh.cluster(snapshot, "outbound|80||api.example.com").connect_timeout.seconds == 1
    assert mesh.cluster(snapshot, "outbound|443||api.example.com").connect_timeout.seconds == 5


def test_a_host_that_a_service_has_stays_with_the_service() -> None:
    twice = entry(hosts=["catalog.shop", "mine.example.com"], ports=[{**HTTP, "number": 8080}])
    same = entry("same", hosts=["catalog", "catalog.shop.svc"], ports=[{**HTTP, "number": 8080}])
    snapshot = mesh.translate(mesh.shop(twice, same))
    table = mesh.route_table(snapshot, 8080)
    domains = [domain for host in table.virtual_hosts for domain in host.domains]
    assert len(domains) == len(set(domains))
    assert mesh.virtual_host(snapshot, "catalog.shop").name.startswith("catalog.shop.svc.cluster.local")
    assert mesh.virtual_host(snapshot, "mine.example.com").name == "mine.example.com:8080"


def test_an_address_that_a_service_has_stays_with_the_service() -> None:
    tcp = {"number": 7000, "name": "tcp", "protocol": "TCP"}
    snapshot = mesh.translate(mesh.shop(entry(ports=[tcp], addresses=["10.96.0.7"])))
    listener = mesh.listener(snapshot, "10.96.0.7_7000")
    assert _chains(listener) == {"tcp": "outbound|7000||catalog.shop.svc.cluster.local"}
    assert "outbound|7000||api.example.com" in snapshot.of_type(CLUSTER_TYPE)
    assert "0.0.0.0_7000" not in snapshot.of_type(LISTENER_TYPE)
