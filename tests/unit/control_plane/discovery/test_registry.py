"""The joined picture, change by change."""

from control_plane.discovery import parse
from control_plane.discovery.model import ObjectName
from control_plane.discovery.registry import Registry
from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.manifest import Manifest
from control_plane.resources.pod import Pod
from control_plane.resources.service import Service
from tests.unit.control_plane import manifest_builder as build

CATALOG = ObjectName("shop", "catalog")
POD = ObjectName("shop", "catalog-1")


def _put_service(registry: Registry, manifest: Manifest) -> frozenset[ObjectName]:
    return registry.put_service(parse.service(Service.parse(manifest)))


def _put_slice(registry: Registry, manifest: Manifest) -> frozenset[ObjectName]:
    parsed = parse.endpoint_slice(EndpointSlice.parse(manifest))
    assert parsed is not None
    return registry.put_slice(parsed)


def _put_pod(registry: Registry, manifest: Manifest) -> frozenset[ObjectName]:
    return registry.put_workload(parse.workload(Pod.parse(manifest)))


def _addresses(registry: Registry, port: int = 0) -> list[tuple[str, int]]:
    return [(one.address, one.port) for one in registry.views[CATALOG].endpoints[port]]


def test_endpoints_join_their_service_by_port_name_whatever_comes_first() -> None:
    registry = Registry()
    ports = [("http", 8081), ("admin", 9001)]
    assert not _put_slice(
        registry, build.endpoint_slice("catalog", build.endpoint("10.244.0.7"), ports=ports)
    )
    changed = _put_service(
        registry, build.service("catalog", {"name": "http", "port": 80}, {"name": "metrics", "port": 90})
    )
    assert changed == {CATALOG}
    assert _addresses(registry) == [("10.244.0.7", 8081)]
    assert _addresses(registry, 1) == []


def test_only_ready_endpoints_are_used_and_readiness_does_not_change_identities() -> None:
    registry = Registry()
    _put_service(registry, build.service("catalog"))
    _put_pod(registry, build.pod("catalog-1"))
    _put_slice(
        registry, build.endpoint_slice("catalog", build.endpoint("10.244.0.7", "catalog-1", ready=False))
    )
    before = registry.views[CATALOG]
    assert before.endpoints == ((),)
    assert before.identities == (("shop", "catalog"),)
    _put_slice(registry, build.endpoint_slice("catalog", build.endpoint("10.244.0.7", "catalog-1")))
    assert _addresses(registry) == [("10.244.0.7", 8080)]
    assert registry.views[CATALOG].identities == before.identities


def test_who_leaves_gets_nothing_new_unless_nobody_else_is_there() -> None:
    registry = Registry()
    _put_service(registry, build.service("catalog"))
    old, new = build.endpoint("10.244.0.7", leaving=True), build.endpoint("10.244.0.8")
    _put_slice(registry, build.endpoint_slice("catalog", old, new))
    assert _addresses(registry) == [("10.244.0.8", 8080)]
    _put_slice(registry, build.endpoint_slice("catalog", old))
    assert _addresses(registry) == [("10.244.0.7", 8080)]


def test_a_pod_of_two_families_is_one_endpoint() -> None:
    registry = Registry()
    _put_service(registry, build.service("catalog"))
    _put_pod(registry, build.pod("catalog-1"))
    _put_pod(registry, build.pod("catalog-2"))
    four = build.endpoint("10.244.0.7", "catalog-1")
    six = [build.endpoint("fd00::7", "catalog-1"), build.endpoint("fd00::8", "catalog-2")]
    _put_slice(registry, build.endpoint_slice("catalog", four))
    _put_slice(registry, build.endpoint_slice("catalog", *six, name="six", family="IPv6"))
    assert _addresses(registry) == [("10.244.0.7", 8080), ("fd00::8", 8080)]


def test_an_address_in_two_slices_counts_once_and_order_is_stable() -> None:
    registry = Registry()
    _put_service(registry, build.service("catalog"))
    _put_slice(registry, build.endpoint_slice("catalog", build.endpoint("10.244.0.9"), name="b"))
    two = [build.endpoint("10.244.0.9"), build.endpoint("10.244.0.2")]
    _put_slice(registry, build.endpoint_slice("catalog", *two, name="a"))
    assert _addresses(registry) == [("10.244.0.2", 8080), ("10.244.0.9", 8080)]


def test_a_slice_that_moves_to_another_service_leaves_the_first() -> None:
    registry = Registry()
    _put_service(registry, build.service("catalog"))
    _put_service(registry, build.service("other"))
    _put_slice(registry, build.endpoint_slice("catalog", build.endpoint("10.244.0.7"), name="one"))
    changed = _put_slice(registry, build.endpoint_slice("other", build.endpoint("10.244.0.7"), name="one"))
    assert changed == {CATALOG, ObjectName("shop", "other")}
    assert _addresses(registry) == []


def test_a_pod_changes_the_services_it_stands_behind() -> None:
    registry = Registry()
    _put_service(registry, build.service("catalog"))
    _put_slice(registry, build.endpoint_slice("catalog", build.endpoint("10.244.0.7", "catalog-1")))
    assert _addresses(registry) == [], "meshed or not is not known: plaintext must not be the guess"
    assert _put_pod(registry, build.pod("catalog-1")) == {CATALOG}
    assert registry.views[CATALOG].endpoints[0][0].is_meshed
    assert registry.remove_workload(POD) == {CATALOG}
    assert _addresses(registry) == []
    assert registry.views[CATALOG].identities == ()


def test_what_comes_out_equal_is_the_same_object_and_no_change() -> None:
    registry = Registry()
    _put_service(registry, build.service("catalog"))
    _put_slice(registry, build.endpoint_slice("catalog", build.endpoint("10.244.0.7")))
    view, service, revision = registry.views[CATALOG], registry.service(CATALOG), registry.revision
    assert not _put_service(registry, build.service("catalog"))
    assert not _put_slice(registry, build.endpoint_slice("catalog", build.endpoint("10.244.0.7")))
    assert registry.views[CATALOG] is view
    assert registry.service(CATALOG) is service
    assert registry.revision == revision


def test_removing_takes_back_and_removing_the_unknown_changes_nothing() -> None:
    registry = Registry()
    _put_service(registry, build.service("catalog"))
    _put_slice(registry, build.endpoint_slice("catalog", build.endpoint("10.244.0.7")))
    assert registry.remove_slice(ObjectName("shop", "catalog-1")) == {CATALOG}
    assert registry.remove_slice(ObjectName("shop", "catalog-1")) == frozenset()
    assert registry.remove_service(CATALOG) == {CATALOG}
    assert registry.remove_service(CATALOG) == frozenset()
    assert registry.remove_workload(POD) == frozenset()
    assert not registry.views


def test_a_pod_is_selected_by_services_of_its_namespace_only() -> None:
    registry = Registry()
    _put_service(registry, build.service("catalog"))
    _put_service(registry, build.service("all", selector={}))
    _put_service(registry, build.service("catalog", namespace="other"))
    _put_pod(registry, build.pod("catalog-1", app="catalog"))
    workload = registry.workload(POD)
    assert workload is not None
    assert [service.key for service in registry.services_selecting(workload)] == [CATALOG]
