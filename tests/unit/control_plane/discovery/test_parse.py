"""Stored resources to the mesh's values."""

from control_plane.discovery import parse
from control_plane.discovery.model import ObjectName, PortProtocol
from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.pod import Pod
from control_plane.resources.service import Service
from tests.unit.control_plane import manifest_builder as build


def _workload(**fields: object):  # type: ignore[no-untyped-def]
    return parse.workload(Pod.parse(build.pod("catalog-1", **fields)))  # type: ignore[arg-type]


def test_a_service_keeps_its_tcp_ports_with_their_targets() -> None:
    parsed = parse.service(
        Service.parse(
            build.service(
                "catalog",
                {"name": "http", "port": 80, "targetPort": "web"},
                {"name": "dns", "port": 53, "protocol": "UDP"},
                {"name": "raw", "port": 9000},
            )
        )
    )
    assert parsed.key == ObjectName("shop", "catalog")
    assert [(port.number, port.target, port.protocol) for port in parsed.ports] == [
        (80, "web", PortProtocol.HTTP),
        (9000, 9000, PortProtocol.UNDECLARED),
    ]
    assert parsed.selector == (("app", "catalog"),)


def test_a_headless_service_has_no_vip() -> None:
    assert parse.service(Service.parse(build.service("catalog", vip="None"))).vip == ""


def test_a_slice_without_a_service_label_is_nobodys() -> None:
    assert parse.endpoint_slice(EndpointSlice.parse(build.endpoint_slice("", name="lonely"))) is None


def test_endpoints_are_ready_unless_said_otherwise_and_name_their_pod() -> None:
    manifest = build.endpoint_slice(
        "catalog",
        build.endpoint("10.244.0.1", "catalog-1", ready=None),
        build.endpoint("10.244.0.2", ready=False),
    )
    manifest["endpoints"][0]["targetRef"].pop("namespace")  # type: ignore[index]
    parsed = parse.endpoint_slice(EndpointSlice.parse(manifest))
    assert parsed is not None
    assert [(one.address, one.ready, one.pod) for one in parsed.endpoints] == [
        ("10.244.0.1", True, ObjectName("shop", "catalog-1")),
        ("10.244.0.2", False, None),
    ]


def test_a_target_that_is_no_pod_is_not_a_workload() -> None:
    manifest = build.endpoint_slice("catalog", build.endpoint("10.244.0.1", "node-a"))
    manifest["endpoints"][0]["targetRef"]["kind"] = "Node"  # type: ignore[index]
    parsed = parse.endpoint_slice(EndpointSlice.parse(manifest))
    assert parsed is not None
    assert parsed.endpoints[0].pod is None


def test_slice_ports_other_than_tcp_are_left_out() -> None:
    manifest = build.endpoint_slice("catalog")
    manifest["ports"] = [
        {"name": "http", "port": 8080},
        {"name": "u", "port": 53, "protocol": "UDP"},
        {"name": "x"},
    ]
    parsed = parse.endpoint_slice(EndpointSlice.parse(manifest))
    assert parsed is not None
    assert [(port.name, port.number) for port in parsed.ports] == [("http", 8080)]


def test_the_owner_is_the_deployment_directly_or_through_a_replica_set() -> None:
    assert _workload(owner=("Deployment", "catalog")).owner == "catalog"
    hashed = _workload(owner=("ReplicaSet", "catalog-5d9f"), labels={"pod-template-hash": "5d9f"})
    assert hashed.owner == "catalog"
    assert _workload().owner == "catalog-1"


def test_an_owner_that_is_not_the_controller_does_not_count() -> None:
    manifest = build.pod("catalog-1", owner=("Deployment", "catalog"))
    manifest["metadata"]["ownerReferences"][0]["controller"] = False  # type: ignore[index]
    assert parse.workload(Pod.parse(manifest)).owner == "catalog-1"


def test_app_and_version_prefer_the_recommended_labels() -> None:
    plain = _workload(labels={"app": "a", "version": "v1"})
    assert (plain.app, plain.version) == ("a", "v1")
    both = _workload(labels={"app": "a", "app.kubernetes.io/name": "b", "app.kubernetes.io/version": "v2"})
    assert (both.app, both.version) == ("b", "v2")
    assert (_workload().app, _workload().version) == ("", "")


def test_a_pod_intercepts_all_ports_but_those_taken_out() -> None:
    assert _workload().intercepts(8080)
    excluded = _workload(annotations={"traffic.meshproxy.io/excludeInboundPorts": "9000, 9001"})
    assert (excluded.intercepts(8080), excluded.intercepts(9001)) == (True, False)
    included = _workload(annotations={"traffic.meshproxy.io/includeInboundPorts": "8080"})
    assert (included.intercepts(8080), included.intercepts(9000)) == (True, False)
    assert not _workload(annotations={"traffic.meshproxy.io/includeInboundPorts": ""}).intercepts(8080)
    assert _workload(annotations={"traffic.meshproxy.io/includeInboundPorts": "*"}).intercepts(8080)
    assert not _workload(meshed=False).intercepts(8080)


def test_container_ports_are_known_by_name() -> None:
    workload = _workload(ports=[{"name": "web", "containerPort": 8081}, {"containerPort": 9000}])
    assert workload.named_ports == (("web", 8081),)
