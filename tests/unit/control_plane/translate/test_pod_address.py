"""Connections to addresses of pods."""

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.listener.v3.listener_pb2 import Listener
from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext
from control_plane.index import Index
from control_plane.resources.manifest import Manifest
from control_plane.snapshot import CLUSTER_TYPE, LISTENER_TYPE, ROUTE_TYPE, Snapshot
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh
from tests.unit.control_plane.translate.test_listeners import _chains, _target

DIRECT = "outbound|3306|direct|set.shop.svc.cluster.local"
PORTS = [{"name": "http", "port": 80}, {"name": "tcp", "port": 3306}, {"name": "any", "port": 9100}]
NUMBERS = [("http", 80), ("tcp", 3306), ("any", 9100)]


def _set(name: str = "set", created: str = build.EARLY) -> list[Manifest]:
    endpoints = [build.endpoint("10.244.0.7", "catalog-1"), build.endpoint("10.9.9.9")]
    return [
        build.service(name, *PORTS, vip="None", created=created),
        build.endpoint_slice(name, *endpoints, ports=NUMBERS),
    ]


def _prefixes(listener: Listener, name: str) -> list[str]:
    match = next(chain.filter_chain_match for chain in listener.filter_chains if chain.name == name)
    return [f"{one.address_prefix}/{one.prefix_len.value}" for one in match.prefix_ranges]


def _domains(snapshot: Snapshot, table: str) -> list[str]:
    message = RouteConfiguration()
    message.ParseFromString(snapshot.of_type(ROUTE_TYPE)[table].body.value)
    return [host.domains[0] for host in message.virtual_hosts] + [
        message.virtual_hosts[-1].routes[0].route.cluster
    ]


def _sans(cluster: Cluster) -> list[str]:
    context = UpstreamTlsContext()
    assert cluster.transport_socket.typed_config.Unpack(context)
    validation = context.common_tls_context.combined_validation_context.default_validation_context
    return [one.matcher.exact or f"{one.matcher.prefix}*" for one in validation.match_typed_subject_alt_names]


def test_any_pod_of_the_mesh_is_reached_by_mesh_tls_at_its_address() -> None:
    more = [build.pod("v6", ip="fd00::7"), build.pod("plain", ip="10.244.0.8", meshed=False)]
    snapshot = mesh.translate(mesh.shop(*more, build.pod("starting", ip="")))
    pods = ["10.244.0.7/32", "fd00::7/128"]
    assert _prefixes(mesh.listener(snapshot, "virtualOutbound"), "pods") == pods
    assert _prefixes(mesh.listener(snapshot, "0.0.0.0_8080"), "pods") == pods
    cluster = mesh.cluster(snapshot, "MeshPodCluster")
    assert (cluster.type, cluster.lb_policy) == (Cluster.ORIGINAL_DST, Cluster.CLUSTER_PROVIDED)
    assert _sans(cluster) == ["spiffe://cluster.local/*"]


def test_without_mesh_tls_pods_are_like_any_other_address() -> None:
    snapshot = mesh.translate(mesh.shop(*_set()), settings=mesh.DISABLED)
    assert _chains(mesh.listener(snapshot, "virtualOutbound")) == {"blocked": "BlackHoleCluster"}
    assert "MeshPodCluster" not in snapshot.of_type(CLUSTER_TYPE)
    assert DIRECT not in snapshot.of_type(CLUSTER_TYPE)
    assert _chains(mesh.listener(snapshot, "10.244.0.7_3306")) == {"tcp": "PassthroughCluster"}


def test_ports_that_are_not_intercepted_are_reached_as_they_are() -> None:
    key = "traffic.meshproxy.io/"
    some = build.pod("some", ip="10.244.1.1", annotations={f"{key}includeInboundPorts": "80,81"})
    most = build.pod("most", ip="10.244.1.2", annotations={f"{key}excludeInboundPorts": "22"})
    snapshot = mesh.translate(mesh.shop(some, most))
    outbound = mesh.listener(snapshot, "virtualOutbound")
    assert _prefixes(outbound, "pods") == ["10.244.0.7/32", "10.244.1.2/32"]
    assert _prefixes(outbound, "pods-15090") == ["10.244.0.7/32", "10.244.1.2/32"]
    for name, cluster in {
        "10.244.1.1_80": "MeshPodCluster",
        "10.244.1.1_81": "MeshPodCluster",
        "10.244.1.2_22": "PassthroughCluster",
    }.items():
        assert _chains(mesh.listener(snapshot, name)) == {"tcp": cluster}
    off = mesh.translate(mesh.shop(some, most), settings=mesh.DISABLED)
    assert "10.244.1.1_80" not in off.of_type(LISTENER_TYPE)


def test_every_address_of_a_headless_service_has_a_listener_for_each_port() -> None:
    snapshot = mesh.translate(mesh.shop(*_set()))
    http = mesh.listener(snapshot, "10.244.0.7_80")
    assert _chains(http) == {"http": "rds 80|headless"}
    assert _chains(mesh.listener(snapshot, "10.9.9.9_80")) == {"http": "rds 80|headless-plain"}
    assert _chains(mesh.listener(snapshot, "10.244.0.7_3306")) == {"tcp": DIRECT}
    assert _chains(mesh.listener(snapshot, "10.9.9.9_3306")) == {"tcp": "PassthroughCluster"}
    detecting = mesh.listener(snapshot, "10.244.0.7_9100")
    assert _chains(detecting) == {"http": "rds 9100|headless"}
    assert _target(detecting.default_filter_chain) == DIRECT.replace("3306", "9100")
    cluster = mesh.cluster(snapshot, DIRECT)
    assert _sans(cluster) == ["spiffe://cluster.local/ns/shop/sa/catalog"]
    assert cluster.metadata.filter_metadata["meshproxy.io"]["service_name"] == "set"


def test_requests_to_headless_pods_are_routed_among_headless_services_only() -> None:
    snapshot = mesh.translate(mesh.shop(*_set(), build.service("other", {"name": "http", "port": 80})))
    assert _domains(snapshot, "80|headless") == ["set", "*", "MeshPodHttpCluster"]
    assert _domains(snapshot, "80|headless-plain") == ["set", "*", "PassthroughCluster"]


def test_the_older_of_two_headless_services_has_a_pods_port() -> None:
    index = mesh.shop(*_set("younger", build.LATE), *_set("older"))
    expected = "outbound|3306|direct|older.shop.svc.cluster.local"
    assert _chains(mesh.listener(mesh.translate(index), "10.244.0.7_3306")) == {"tcp": expected}


def test_a_policy_says_what_makes_sense_without_endpoints() -> None:
    policy: Manifest = {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": "TrafficPolicy",
        "metadata": build.meta("limits"),
        "spec": {
            "targetRefs": [{"group": "", "kind": "Service", "name": "set"}],
            "timeouts": {"connect": "1s"},
            "limits": {"maxConnections": 7},
            "loadBalancer": {"policy": "Random"},
            "outlierDetection": {"interval": "1s"},
        },
    }
    cluster = mesh.cluster(mesh.translate(mesh.shop(*_set(), policy)), DIRECT)
    assert cluster.lb_policy == Cluster.CLUSTER_PROVIDED
    assert not cluster.HasField("outlier_detection")
    assert cluster.connect_timeout.seconds == 1
    assert cluster.circuit_breakers.thresholds[0].max_connections.value == 7


def test_nothing_is_built_anew_for_a_pod_that_stays_where_it_is() -> None:
    index = Index()
    index.apply(build.pod("one", ip="10.244.0.1"))
    before = index.registry.mesh_pods
    index.apply(build.pod("one", ip="10.244.0.1", labels={"version": "v2"}))
    assert index.registry.mesh_pods is before
    index.apply(build.pod("one", ip="10.244.0.2", labels={"version": "v2"}))
    assert [pod.ip for pod in index.registry.mesh_pods] == ["10.244.0.2"]
