"""Whole snapshots: deterministic, shared, and rebuilt only where something changed."""

from control_plane.index import Index
from control_plane.snapshot import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE
from control_plane.translate.translator import Translator
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh

TYPES = (CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE)


def _translator(index: Index) -> Translator:
    return Translator(index.registry, mesh.STRICT)


def test_the_same_resources_make_the_same_bytes_in_another_process_life() -> None:
    first, second = mesh.translate(mesh.shop()), mesh.translate(mesh.shop())
    for type_url in TYPES:
        assert first.version(type_url) == second.version(type_url)
        assert list(first.of_type(type_url)) == list(second.of_type(type_url))
        bodies = [[one.body.value for one in snap.of_type(type_url).values()] for snap in (first, second)]
        assert bodies[0] == bodies[1]


def test_every_snapshot_is_consistent() -> None:
    index = mesh.shop(build.route("split"))
    for node in (mesh.WEB, mesh.ELSEWHERE, mesh.CATALOG, mesh.ENVOY):
        assert mesh.translate(index, node).problems() == []


def test_what_does_not_depend_on_the_node_is_shared() -> None:
    translator = _translator(mesh.shop())
    web, catalog = translator.snapshot(mesh.WEB), translator.snapshot(mesh.CATALOG)
    name = "outbound|8080||catalog.shop.svc.cluster.local"
    assert web.of_type(CLUSTER_TYPE)[name] is catalog.of_type(CLUSTER_TYPE)[name]
    assert "inbound|8080||" in catalog.of_type(CLUSTER_TYPE)
    assert "inbound|8080||" not in web.of_type(CLUSTER_TYPE)


def test_a_change_rebuilds_only_what_it_touches() -> None:
    index = mesh.shop(build.service("other", vip="10.96.0.8"))
    translator = _translator(index)
    before = translator.snapshot(mesh.WEB)
    index.apply(build.endpoint_slice("other", build.endpoint("10.244.0.9")))
    after = translator.snapshot(mesh.WEB)
    assert after.version(ENDPOINT_TYPE) != before.version(ENDPOINT_TYPE)
    for type_url in (LISTENER_TYPE, ROUTE_TYPE, CLUSTER_TYPE):
        assert after.version(type_url) == before.version(type_url)
    untouched = "outbound|8080||catalog.shop.svc.cluster.local"
    assert after.of_type(ENDPOINT_TYPE)[untouched] is before.of_type(ENDPOINT_TYPE)[untouched]
    assert after.of_type(ROUTE_TYPE)["8080"] is before.of_type(ROUTE_TYPE)["8080"]


def test_a_node_whose_pod_is_not_known_has_the_catch_all_only() -> None:
    snapshot = mesh.translate(mesh.shop(), mesh.ELSEWHERE)
    chains = [chain.name for chain in mesh.listener(snapshot, "virtualInbound").filter_chains]
    assert chains == ["blocked", "catch-all-mtls-http", "catch-all-mtls-tcp"]


def test_removed_services_leave_and_what_was_remembered_of_many_is_let_go() -> None:
    index = mesh.shop()
    translator = _translator(index)
    many = [build.service(f"s{number}", vip=f"10.96.1.{number}") for number in range(200)]
    for manifest in many:
        index.apply(manifest)
    assert len(translator.snapshot(mesh.WEB).of_type(CLUSTER_TYPE)) > 200
    for number in range(200):
        index.delete("Service", "shop", f"s{number}")
    translator.snapshot(mesh.WEB)
    for name in ("a", "b", "c"):  # other client namespaces make it look for what nobody uses
        for manifest in many:
            index.apply(manifest)
        translator.snapshot(mesh.Node(mesh.ObjectName(name, "x"), mesh.Client(name)))
    for number in range(200):
        index.delete("Service", "shop", f"s{number}")
    fresh, kept = mesh.translate(index), translator.snapshot(mesh.WEB)
    for type_url in TYPES:
        assert fresh.version(type_url) == kept.version(type_url)


def test_clients_that_left_are_forgotten_and_served_again_when_they_return() -> None:
    translator = _translator(mesh.shop())
    before = translator.snapshot(mesh.WEB)
    translator.keep_only([mesh.ELSEWHERE.client])
    after = translator.snapshot(mesh.WEB)
    assert [after.version(type_url) for type_url in TYPES] == [before.version(type_url) for type_url in TYPES]
