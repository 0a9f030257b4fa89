"""From who talks to whom to label values."""

from meshproxy.config.model import Direction, ServiceIdentity, WorkloadIdentity
from meshproxy.telemetry.labels import RequestLabels, SecurityPolicy, request_labels, tcp_labels

WEB = WorkloadIdentity("web-7d", "shop", "web", "v1", "web-sa", "east")
CATALOG = WorkloadIdentity("catalog-v2", "shop", "catalog", "v2", "catalog-sa", "west")
SERVICE = ServiceIdentity("catalog.shop.svc.cluster.local", "catalog", "shop")


def test_outbound_the_own_workload_is_the_source() -> None:
    labels = tcp_labels(
        Direction.OUTBOUND,
        WEB,
        CATALOG,
        own_principal="spiffe://td/web",
        peer_principal="spiffe://td/catalog",
        service=SERVICE,
        security=SecurityPolicy.UNKNOWN,
        request_protocol="http",
        response_flags="UF",
    )
    assert labels._asdict() == {
        "reporter": "source",
        "source_workload": "web-7d",
        "source_canonical_service": "web",
        "source_canonical_revision": "v1",
        "source_workload_namespace": "shop",
        "source_principal": "spiffe://td/web",
        "source_app": "web",
        "source_version": "v1",
        "source_cluster": "east",
        "destination_workload": "catalog-v2",
        "destination_workload_namespace": "shop",
        "destination_principal": "spiffe://td/catalog",
        "destination_app": "catalog",
        "destination_version": "v2",
        "destination_service": "catalog.shop.svc.cluster.local",
        "destination_canonical_service": "catalog",
        "destination_canonical_revision": "v2",
        "destination_service_name": "catalog",
        "destination_service_namespace": "shop",
        "destination_cluster": "west",
        "request_protocol": "http",
        "response_flags": "UF",
        "connection_security_policy": "unknown",
    }


def test_inbound_the_own_workload_is_the_destination() -> None:
    labels = tcp_labels(
        Direction.INBOUND,
        CATALOG,
        WEB,
        own_principal="spiffe://td/catalog",
        peer_principal="spiffe://td/web",
        service=SERVICE,
        security=SecurityPolicy.MUTUAL_TLS,
    )
    assert (labels.reporter, labels.source_workload, labels.destination_workload) == (
        "destination",
        "web-7d",
        "catalog-v2",
    )
    assert (labels.source_principal, labels.destination_principal) == (
        "spiffe://td/web",
        "spiffe://td/catalog",
    )
    assert (labels.request_protocol, labels.response_flags, labels.connection_security_policy) == (
        "tcp",
        "-",
        "mutual_tls",
    )


def test_a_peer_that_says_nothing_is_unknown() -> None:
    labels = tcp_labels(
        Direction.INBOUND,
        CATALOG,
        WorkloadIdentity(),
        service=ServiceIdentity(),
        security=SecurityPolicy.NONE,
        response_flags="",
    )
    source = {name: value for name, value in labels._asdict().items() if name.startswith("source_")}
    assert source.pop("source_canonical_revision") == "latest"
    assert set(source.values()) == {"unknown"}
    assert (labels.destination_principal, labels.destination_service, labels.response_flags) == (
        "unknown",
        "unknown",
        "-",
    )


def test_a_workload_without_app_and_version_labels_is_its_own_canonical_service() -> None:
    labels = tcp_labels(
        Direction.OUTBOUND,
        WorkloadIdentity(workload="job-1", namespace="shop"),
        CATALOG,
        service=SERVICE,
        security=SecurityPolicy.UNKNOWN,
    )
    assert (labels.source_canonical_service, labels.source_canonical_revision) == ("job-1", "latest")
    assert (labels.source_app, labels.source_version) == ("unknown", "unknown")


def test_request_labels_add_the_response() -> None:
    peers = tcp_labels(Direction.OUTBOUND, WEB, CATALOG, service=SERVICE, security=SecurityPolicy.UNKNOWN)
    assert request_labels(peers, 200) == RequestLabels(peers, "200", "")
    assert request_labels(peers, 200, "14").grpc_response_status == "14"
