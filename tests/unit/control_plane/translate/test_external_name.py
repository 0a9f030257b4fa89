"""Services of type ExternalName."""

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.discovery.model import ObjectName
from control_plane.resources.manifest import Manifest
from control_plane.snapshot import ENDPOINT_TYPE, LISTENER_TYPE
from control_plane.translate import names
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh

OUTSIDE = "outbound|8080||outside.shop.svc.cluster.local"


def external(target: str, *ports: Manifest) -> Manifest:
    spec = {
        "type": "ExternalName",
        "externalName": target,
        "ports": list(ports) or [{"name": "http", "port": 8080, "targetPort": 80}],
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": build.meta("outside"), "spec": spec}


def test_its_name_leads_to_the_host() -> None:
    snapshot = mesh.translate(
        mesh.shop(
            external(
                "api.example.com",
                *[
                    {"name": "http", "port": 8080, "targetPort": 80},
                    {"name": "tcp", "port": 7000, "targetPort": "db"},
                ],
            )
        )
    )
    cluster = mesh.cluster(snapshot, OUTSIDE)
    assert cluster.type == Cluster.STRICT_DNS
    (group,) = cluster.load_assignment.endpoints
    address = group.lb_endpoints[0].endpoint.address.socket_address
    assert (address.address, address.port_value) == ("api.example.com", 80)
    assert not cluster.transport_socket_matches
    tcp = mesh.cluster(snapshot, "outbound|7000||outside.shop.svc.cluster.local")
    assert tcp.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value == 7000
    assert not tcp.typed_extension_protocol_options
    host = mesh.virtual_host(snapshot, "outside.shop")
    assert host.routes[0].route.cluster == OUTSIDE
    assert OUTSIDE not in snapshot.of_type(ENDPOINT_TYPE)
    assert "10.96.0.7_7000" in snapshot.of_type(LISTENER_TYPE)


def test_another_name_for_a_service_of_the_mesh_has_its_endpoints_and_identities() -> None:
    index = mesh.shop(external("catalog.shop.svc.cluster.local"))
    cluster = mesh.cluster(mesh.translate(index), OUTSIDE)
    assert cluster.type == Cluster.EDS
    assert cluster.eds_cluster_config.service_name == "outbound|8080||catalog.shop.svc.cluster.local"
    assert [match.name for match in cluster.transport_socket_matches] == [
        "tlsMode-mutual",
        "tlsMode-disabled",
    ]
    index.delete("Service", "shop", "catalog")
    assert mesh.cluster(mesh.translate(index), OUTSIDE).type == Cluster.STRICT_DNS


def test_a_name_of_a_name_or_a_port_that_is_not_there_is_a_host() -> None:
    other = external("outside.shop.svc.cluster.local")
    metadata = build.meta("again")
    snapshot = mesh.translate(mesh.shop(external("a.example"), {**other, "metadata": metadata}))
    assert mesh.cluster(snapshot, OUTSIDE.replace("outside", "again", 1)).type == Cluster.STRICT_DNS
    lacking = external("catalog.shop.svc.cluster.local", {"name": "http", "port": 81})
    name = "outbound|81||outside.shop.svc.cluster.local"
    assert mesh.cluster(mesh.translate(mesh.shop(lacking)), name).type == Cluster.STRICT_DNS


def test_names_of_services() -> None:
    assert names.service_named("catalog.shop.svc.cluster.local") == ObjectName("shop", "catalog")
    for host in ("api.example.com", "a.b.c.svc.cluster.local", "svc.cluster.local"):
        assert names.service_named(host) is None
