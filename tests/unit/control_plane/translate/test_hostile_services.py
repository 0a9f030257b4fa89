"""Services and pods that could lead sidecars astray."""

from control_plane.discovery.model import ObjectName
from control_plane.resources.manifest import Manifest, ObjectKey
from control_plane.snapshot import LISTENER_TYPE
from control_plane.status import parent_statuses
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh


def _http(number: int, **fields: object) -> Manifest:
    return {"name": f"http-{number}", "port": number, **fields}


def test_a_service_on_a_port_of_the_sidecar_gets_no_listener_with_the_sidecars_address() -> None:
    """Envoy refuses two listeners on one address, and with them every other listener of the update."""
    index = mesh.shop(build.service("odd", _http(15001), _http(15006), vip="10.96.0.8"))
    found = mesh.translate(index).of_type(LISTENER_TYPE)
    assert "10.96.0.8_15001" in found
    places = [mesh.listener(mesh.translate(index), name).address.socket_address for name in found]
    assert len({(place.address, place.port_value) for place in places}) == len(places)


def test_a_route_for_a_port_of_the_sidecar_is_told_that_it_does_not_apply() -> None:
    index = mesh.shop(
        build.service("odd", _http(15006), vip="10.96.0.8"),
        build.route("r", build.rule(build.backend("odd", 15006)), parent="odd"),
    )
    route = index.registry.routes.get(ObjectKey("HTTPRoute", "shop", "r"))
    assert route is not None
    ((accepted, _),) = parent_statuses(route, index.registry)
    assert not accepted.status
    assert "number" in accepted.message


def test_a_target_port_of_the_sidecar_is_no_inbound_port() -> None:
    """A chain for it would relay to the listener itself, for ever."""
    index = mesh.shop(build.service("loop", _http(80, targetPort=15006), selector={"app": "catalog"}))
    chains = mesh.listener(mesh.translate(index, mesh.CATALOG), "virtualInbound").filter_chains
    to_itself = [chain.name for chain in chains if chain.filter_chain_match.destination_port.value == 15006]
    assert to_itself == ["blocked"]


def test_the_sidecar_of_a_deleted_pod_is_told() -> None:
    """Its inbound ports go: what its client holds must be what a fresh translation gives."""
    index = mesh.shop()
    before = mesh.translate(index, mesh.CATALOG)
    change = index.delete("Pod", "shop", "catalog-1")
    assert mesh.translate(index, mesh.CATALOG).version(LISTENER_TYPE) != before.version(LISTENER_TYPE)
    assert change.affected.includes(mesh.CATALOG.pod)
    lonely = mesh.shop(build.pod("lonely", labels={"app": "catalog"}))
    assert lonely.delete("Pod", "shop", "lonely").affected.includes(ObjectName("shop", "lonely"))


def test_an_endpoint_whose_pod_is_gone_is_not_called_in_plaintext() -> None:
    """Between the deletion of a Pod and that of its endpoint nobody can tell whether it had a sidecar."""
    index = mesh.shop()
    name = "outbound|8080||catalog.shop.svc.cluster.local"
    (host,) = mesh.endpoints(mesh.translate(index), name).endpoints[0].lb_endpoints
    assert host.metadata.filter_metadata["envoy.transport_socket_match"]["tlsMode"] == "mutual"
    index.delete("Pod", "shop", "catalog-1")
    assert not mesh.endpoints(mesh.translate(index), name).endpoints


def test_a_named_target_port_is_the_one_the_endpoints_are_made_of() -> None:
    """Kubernetes looks at containers first, at restartable init containers next, and only at ports of TCP."""
    pod = build.pod("web-1", app="web", ports=[{"name": "web", "containerPort": 53, "protocol": "UDP"}])
    spec = pod["spec"]
    assert isinstance(spec, dict)
    web = [{"name": "web", "containerPort": 8000}]
    spec["containers"].append({"name": "second", "image": "x", "ports": web})
    spec["initContainers"] = [
        {"name": "once", "image": "x", "ports": [{"name": "web", "containerPort": 1}]},
        {
            "name": "helper",
            "image": "x",
            "restartPolicy": "Always",
            "ports": [{"name": "web", "containerPort": 2}, {"name": "extra", "containerPort": 3}],
        },
    ]
    service = build.service("web", _http(80, targetPort="web"), _http(81, targetPort="extra"))
    snapshot = mesh.translate(mesh.shop(service, pod))
    chains = mesh.listener(snapshot, "virtualInbound").filter_chains
    assert {chain.filter_chain_match.destination_port.value for chain in chains} == {0, 15006, 8000, 3}
