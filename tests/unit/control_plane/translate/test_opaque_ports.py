"""`traffic.meshproxy.io/opaquePorts`, on a pod or a Service, from the stored object to the listeners."""

import pytest

from control_plane.discovery.model import EVERYONE, ObjectName, PortProtocol
from control_plane.index import Index
from control_plane.resources.manifest import Manifest, ObjectKey
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh

OPAQUE = {"traffic.meshproxy.io/opaquePorts": "8080, 9999"}
CATALOG = ObjectName("shop", "catalog")
SPLIT = ObjectKey("HTTPRoute", "shop", "split")


def pod(annotations: dict[str, str] | None = None) -> Manifest:
    return build.pod("catalog-1", app="catalog", annotations=annotations)


def protocol(index: Index) -> PortProtocol:
    assert index.registry.service(CATALOG) is index.registry.views[CATALOG].service
    return index.registry.views[CATALOG].service.ports[0].protocol


def test_a_pod_that_calls_its_port_opaque_makes_it_so_for_clients_and_back() -> None:
    index = mesh.shop(build.route("split", build.rule(build.backend("catalog"))))
    assert protocol(index) is PortProtocol.HTTP
    change = index.apply(pod(OPAQUE))
    assert (protocol(index), change.affected) == (PortProtocol.TCP, EVERYONE)
    assert SPLIT in change.routes
    snapshot = mesh.translate(index)
    listener = mesh.listener(snapshot, "10.96.0.7_8080")
    assert [chain.name for chain in listener.filter_chains] == ["tcp"]
    assert not listener.listener_filters
    assert snapshot.problems() == []
    change = index.apply(pod())
    assert (protocol(index), SPLIT in change.routes) == (PortProtocol.HTTP, True)
    index.apply(pod(OPAQUE))
    index.delete("Pod", "shop", "catalog-1")
    assert protocol(index) is PortProtocol.HTTP


def test_it_is_the_pods_port_that_counts_and_any_pod_of_the_service() -> None:
    index = mesh.shop()
    other = "catalog-2"
    index.apply(build.pod(other, app="catalog", ip="10.244.0.8", annotations={**OPAQUE}))
    endpoints = build.endpoint("10.244.0.7", "catalog-1"), build.endpoint("10.244.0.8", other, ready=False)
    index.apply(build.endpoint_slice("catalog", *endpoints, ports=[("http", 8081)]))
    assert protocol(index) is PortProtocol.HTTP
    index.apply(build.endpoint_slice("catalog", *endpoints))
    assert protocol(index) is PortProtocol.TCP


def test_a_service_says_it_of_its_own_ports() -> None:
    index = mesh.shop()
    index.apply(build.service("catalog", annotations=OPAQUE))
    assert protocol(index) is PortProtocol.TCP
    index.delete("Service", "shop", "catalog")
    assert index.registry.service(CATALOG) is None


@pytest.mark.parametrize("has_endpoints", [True, False])
def test_the_pods_own_sidecar_does_not_look_at_the_bytes(has_endpoints: bool) -> None:
    index = mesh.shop()
    if not has_endpoints:
        index.delete("EndpointSlice", "shop", "catalog-1")
    index.apply(pod())
    assert "8080-http" in chains(index)
    index.apply(pod(OPAQUE))
    assert "8080-tcp" in chains(index)
    assert "8080-http" not in chains(index)


def chains(index: Index) -> list[str]:
    snapshot = mesh.translate(index, mesh.CATALOG, mesh.PERMISSIVE)
    return [chain.name for chain in mesh.listener(snapshot, "virtualInbound").filter_chains]
