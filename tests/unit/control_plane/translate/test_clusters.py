"""Clusters and the endpoints behind them."""

from google.protobuf.json_format import MessageToDict

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.common_pb2 import TlsParameters
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext
from control_plane.snapshot import CLUSTER_TYPE
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh

HTTP = "outbound|8080||catalog.shop.svc.cluster.local"


def _tls(cluster: Cluster) -> UpstreamTlsContext:
    context = UpstreamTlsContext()
    assert cluster.transport_socket_matches[0].transport_socket.typed_config.Unpack(context)
    return context


def _trusted(cluster: Cluster) -> list[str]:
    validation = _tls(cluster).common_tls_context.combined_validation_context.default_validation_context
    return [one.matcher.exact for one in validation.match_typed_subject_alt_names]


def test_every_port_is_a_cluster_and_undeclared_ports_are_two() -> None:
    assert sorted(mesh.translate(mesh.shop()).of_type(CLUSTER_TYPE)) == [
        "BlackHoleCluster",
        "InboundPassthroughCluster",
        "MeshPodCluster",
        "MeshPodHttpCluster",
        "PassthroughCluster",
        "outbound|7000||catalog.shop.svc.cluster.local",
        HTTP,
        "outbound|9000|opaque|catalog.shop.svc.cluster.local",
        "outbound|9000||catalog.shop.svc.cluster.local",
    ]


def test_mesh_tls_says_what_is_inside_and_for_whom() -> None:
    snapshot = mesh.translate(mesh.shop())
    http = _tls(mesh.cluster(snapshot, HTTP))
    assert http.sni == "outbound_.8080_._.catalog.shop.svc.cluster.local"
    common = http.common_tls_context
    assert list(common.alpn_protocols) == ["istio-http/1.1"]
    assert common.tls_params.tls_minimum_protocol_version == TlsParameters.TLSv1_3
    assert common.tls_params.tls_maximum_protocol_version == TlsParameters.TLSv1_3
    for name in ("outbound|7000||catalog", "outbound|9000|opaque|catalog"):
        opaque = mesh.cluster(snapshot, f"{name}.shop.svc.cluster.local")
        assert list(_tls(opaque).common_tls_context.alpn_protocols) == ["istio"]


def test_services_have_outlier_detection_and_nothing_else_has() -> None:
    snapshot = mesh.translate(mesh.shop())
    names = set(snapshot.of_type(CLUSTER_TYPE))
    having = {name for name in names if mesh.cluster(snapshot, name).HasField("outlier_detection")}
    assert having == {name for name in names if name.startswith("outbound|")}
    made = mesh.cluster(snapshot, HTTP)
    assert MessageToDict(made.outlier_detection, preserving_proto_field_name=True) == {
        "consecutive_5xx": 5,
        "interval": "10s",
        "base_ejection_time": "30s",
        "max_ejection_time": "300s",
        "max_ejection_percent": 10,
        "always_eject_one_host": True,
        "enforcing_success_rate": 0,
    }
    assert made.common_lb_config.healthy_panic_threshold.value == 50


def test_an_opaque_twin_has_the_endpoints_of_its_port() -> None:
    twin = mesh.cluster(mesh.translate(mesh.shop()), "outbound|9000|opaque|catalog.shop.svc.cluster.local")
    assert twin.eds_cluster_config.service_name == "outbound|9000||catalog.shop.svc.cluster.local"


def test_servers_must_be_one_of_the_accounts_behind_the_service() -> None:
    index = mesh.shop(
        build.pod("catalog-2", app="catalog", ip="10.244.0.8", account="canary"),
        build.pod("plain", app="catalog", ip="10.244.0.9", account="plain", meshed=False),
        build.endpoint_slice(
            "catalog",
            build.endpoint("10.244.0.8", "catalog-2", ready=False),
            build.endpoint("10.244.0.9", "plain"),
            name="more",
        ),
    )
    assert _trusted(mesh.cluster(mesh.translate(index), HTTP)) == [
        "spiffe://cluster.local/ns/shop/sa/canary",
        "spiffe://cluster.local/ns/shop/sa/catalog",
    ]


def test_with_nobody_behind_the_service_nobody_is_trusted() -> None:
    index = mesh.shop(build.service("empty", vip="10.96.0.8"))
    empty = mesh.cluster(mesh.translate(index), "outbound|8080||empty.shop.svc.cluster.local")
    assert _trusted(empty) == ["spiffe://cluster.local"]


def test_endpoints_without_a_sidecar_are_reached_in_plaintext() -> None:
    cluster = mesh.cluster(mesh.translate(mesh.shop()), HTTP)
    mutual, plain = cluster.transport_socket_matches
    assert MessageToDict(mutual.match) == {"tlsMode": "mutual"}
    assert (MessageToDict(plain.match), plain.transport_socket.name) == (
        {},
        "envoy.transport_sockets.raw_buffer",
    )


def test_connections_may_keep_enough_sessions_to_resume() -> None:
    assert _tls(mesh.cluster(mesh.translate(mesh.shop()), HTTP)).max_session_keys.value == 256


def test_secrets_come_from_the_agent_or_for_envoy_from_files() -> None:
    index = mesh.shop()
    ours = _tls(mesh.cluster(mesh.translate(index), HTTP)).common_tls_context
    assert ours.tls_certificate_sds_secret_configs[0].name == "default"
    assert ours.tls_certificate_sds_secret_configs[0].sds_config.HasField("ads")
    envoys = _tls(mesh.cluster(mesh.translate(index, mesh.ENVOY), HTTP)).common_tls_context
    assert (
        envoys.tls_certificate_sds_secret_configs[0].sds_config.path_config_source.path == "/sds/default.yaml"
    )
    root = envoys.combined_validation_context.validation_context_sds_secret_config
    assert (root.name, root.sds_config.path_config_source.path) == ("ROOTCA", "/sds/rootca.yaml")


def test_clusters_carry_the_service_for_metric_labels() -> None:
    cluster = mesh.cluster(mesh.translate(mesh.shop()), HTTP)
    labels = MessageToDict(cluster.metadata.filter_metadata["meshproxy.io"])
    assert labels.pop("retry_budget") == {"min_per_second": 10.0}
    assert labels == {
        "service_host": "catalog.shop.svc.cluster.local",
        "service_name": "catalog",
        "service_namespace": "shop",
    }


def test_the_local_app_is_dialled_from_an_address_that_is_not_intercepted() -> None:
    snapshot = mesh.translate(mesh.shop(), mesh.CATALOG)
    for name in ("inbound|8080||", "InboundPassthroughCluster"):
        cluster = mesh.cluster(snapshot, name)
        assert (cluster.type, cluster.lb_policy) == (Cluster.ORIGINAL_DST, Cluster.CLUSTER_PROVIDED)
        assert cluster.upstream_bind_config.source_address.address == "127.0.0.6"
        assert cluster.upstream_bind_config.extra_source_addresses[0].address.address == "::6"


def test_a_meshed_endpoint_says_so_and_who_it_is() -> None:
    assignment = mesh.endpoints(mesh.translate(mesh.shop()), HTTP)
    (host,) = assignment.endpoints[0].lb_endpoints
    assert host.endpoint.address.socket_address.address == "10.244.0.7"
    metadata = {key: MessageToDict(value) for key, value in host.metadata.filter_metadata.items()}
    assert metadata == {
        "envoy.transport_socket_match": {"tlsMode": "mutual"},
        "meshproxy.io": {
            "app": "catalog",
            "cluster": "Kubernetes",
            "namespace": "shop",
            "service_account": "catalog",
            "spiffe_id": "spiffe://cluster.local/ns/shop/sa/catalog",
            "version": "v1",
            "workload": "catalog",
        },
    }


def test_excluded_ports_unmeshed_pods_and_disabled_mtls_are_plain() -> None:
    excluded = build.pod(
        "catalog-1", app="catalog", annotations={"traffic.meshproxy.io/excludeInboundPorts": "8080"}
    )
    for snapshot in (
        mesh.translate(mesh.shop(excluded)),
        mesh.translate(mesh.shop(build.pod("catalog-1", app="catalog", meshed=False))),
        mesh.translate(mesh.shop(), settings=mesh.DISABLED),
    ):
        (host,) = mesh.endpoints(snapshot, HTTP).endpoints[0].lb_endpoints
        assert list(host.metadata.filter_metadata) == ["meshproxy.io"]
        assert "spiffe_id" not in MessageToDict(host.metadata.filter_metadata["meshproxy.io"])


def test_an_address_without_a_pod_is_plain_and_unknown() -> None:
    index = mesh.shop(build.endpoint_slice("catalog", build.endpoint("10.0.0.1"), name="catalog-1"))
    (host,) = mesh.endpoints(mesh.translate(index), HTTP).endpoints[0].lb_endpoints
    assert not host.HasField("metadata")


def test_a_port_without_endpoints_says_so() -> None:
    index = mesh.shop(build.service("empty", vip="10.96.0.8"))
    assignment = mesh.endpoints(mesh.translate(index), "outbound|8080||empty.shop.svc.cluster.local")
    assert not assignment.endpoints
