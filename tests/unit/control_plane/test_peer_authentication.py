"""PeerAuthentication: what is accepted, which of several holds, and what sidecars and clients are sent."""

import pytest

from control_plane.api.envoy.config.listener.v3.listener_pb2 import Listener
from control_plane.discovery.model import ANY_TRANSPORT, EVERYONE, ObjectName, Transport
from control_plane.index import Index
from control_plane.peer_authentication_status import with_status
from control_plane.resources.manifest import Manifest, ObjectKey, objects, section
from control_plane.translate import names
from control_plane.translate.settings import MeshSettings
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.resources.refusal import causes
from tests.unit.control_plane.translate import mesh

POD = ObjectName("shop", "catalog-1")
CATALOG = {"matchLabels": {"app": "catalog"}}
KIND = "PeerAuthentication"


def peer(
    mode: str = "",
    name: str = "default",
    namespace: str = "shop",
    created: str = build.EARLY,
    **spec: object,
) -> Manifest:
    mtls = {"mtls": {"mode": mode}} if mode else {}
    return {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": KIND,
        "metadata": build.meta(name, namespace, created),
        "spec": {**mtls, **spec},
    }


MESH_STRICT = peer("STRICT", "default", "meshproxy-system")


# --- the model ----------------------------------------------------------------------------------------------


def test_every_form_of_istios_is_accepted() -> None:
    ports = {"8080": {"mode": "DISABLE"}, "9000": {"mode": "UNSET"}}
    assert causes(peer("PERMISSIVE", selector=CATALOG, portLevelMtls=ports)) == {}
    assert causes(peer()) == {}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"mtls": {"mode": "ISTIO_MUTUAL"}}, "spec.mtls.mode"),
        ({"portLevelMtls": {"8080": {"mode": "STRICT"}}}, "spec"),
        ({"selector": {"matchLabels": {}}}, "spec.selector.matchLabels"),
        ({"selector": CATALOG, "portLevelMtls": {"http": {}}}, "spec.portLevelMtls.http"),
        ({"selector": CATALOG, "portLevelMtls": {"0": {}}}, "spec.portLevelMtls[0]"),
        ({"selector": CATALOG, "portLevelMtls": {"080": {}}}, "spec.portLevelMtls[080]"),
        ({"jwtRules": []}, "spec.jwtRules"),
    ],
)
def test_what_is_wrong_is_refused_by_field(spec: dict[str, object], field: str) -> None:
    assert [found.removesuffix(".[key]") for found in causes({**peer(), "spec": spec})] == [field]


# --- which one holds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ([], ANY_TRANSPORT),
        ([peer()], ANY_TRANSPORT),
        ([MESH_STRICT], Transport("STRICT")),
        ([MESH_STRICT, peer("PERMISSIVE")], Transport("PERMISSIVE")),
        ([MESH_STRICT, peer("UNSET")], Transport("STRICT")),
        ([peer("PERMISSIVE", namespace="other")], ANY_TRANSPORT),
        ([peer("PERMISSIVE"), peer("STRICT", "pods", selector=CATALOG)], Transport("STRICT")),
        ([peer("STRICT", "pods", selector={"matchLabels": {"app": "web"}})], ANY_TRANSPORT),
        ([peer("STRICT", "b", created=build.LATE), peer("PERMISSIVE", "c")], Transport("PERMISSIVE")),
        ([peer("STRICT", "b"), peer("PERMISSIVE", "a")], Transport("PERMISSIVE")),
        (
            [
                peer("STRICT"),
                peer(
                    name="pods",
                    selector=CATALOG,
                    portLevelMtls={"8080": {"mode": "PERMISSIVE"}, "1": {"mode": "UNSET"}},
                ),
            ],
            Transport("STRICT", ((8080, "PERMISSIVE"),)),
        ),
        ([peer(name="pods", selector=CATALOG)], ANY_TRANSPORT),
    ],
)
def test_the_nearest_and_then_the_oldest_holds(present: list[Manifest], expected: Transport) -> None:
    before, after = mesh.shop(), Index()
    for manifest in present:
        before.apply(manifest)
        after.apply(manifest)
    after.apply(build.pod("catalog-1", app="catalog", owner=("Deployment", "catalog")))
    for index in (before, after):
        workload = index.registry.workload(POD)
        assert workload is not None
        assert workload.transport == expected
    for manifest in present:
        meta = section(manifest, "metadata")
        before.delete(KIND, str(meta["namespace"]), str(meta["name"]))
    workload = before.registry.workload(POD)
    assert workload is not None
    assert workload.transport == ANY_TRANSPORT


def test_who_hears_of_it() -> None:
    index = mesh.shop()
    change = index.apply(peer("PERMISSIVE"))
    assert change.affected == EVERYONE, "it stands behind a Service"
    assert change.routes == {ObjectKey(KIND, "shop", "default")}
    again = index.apply(peer("PERMISSIVE"))
    assert not again.affected
    assert again.routes == {ObjectKey(KIND, "shop", "default")}
    assert not index.apply(peer("PERMISSIVE", "second", created=build.LATE)).affected, "nothing holds anew"
    gone = index.delete(KIND, "shop", "default")
    assert gone.routes == {ObjectKey(KIND, "shop", "second")}
    assert not index.delete(KIND, "shop", "never-there").routes


# --- status -------------------------------------------------------------------------------------------------


def _told(index: Index, manifest: Manifest) -> tuple[str, str, str]:
    updated = with_status(manifest, index.registry, lambda: 0.0)
    assert updated is not None
    assert with_status(updated, index.registry, lambda: 0.0) is None, "said once is enough"
    (condition,) = objects(section(updated, "status"), "conditions")
    return str(condition["status"]), str(condition["reason"]), str(condition["message"])


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        (MESH_STRICT, "it is about every pod of the mesh"),
        (peer("STRICT"), "it is about pods of namespace shop"),
        (peer("STRICT", selector=CATALOG), "it is about the pods that it selects in namespace shop"),
    ],
)
def test_it_is_told_what_it_is_about(manifest: Manifest, text: str) -> None:
    index = Index()
    index.apply(manifest)
    assert _told(index, manifest) == ("True", "Accepted", text)


def test_the_younger_of_two_about_the_same_pods_is_told() -> None:
    index = Index()
    younger = peer("STRICT", "b", created=build.LATE)
    for manifest in (peer("PERMISSIVE"), younger, peer("DISABLE", "pods", selector=CATALOG)):
        index.apply(manifest)
    text = "PeerAuthentication shop/default is older and about the same pods; delete one of the two"
    assert _told(index, younger) == ("False", "Conflicted", text)
    assert with_status(peer("DISABLE", "b", created=build.LATE), index.registry, lambda: 0.0) is None


# --- what is sent -------------------------------------------------------------------------------------------


def _inbound(*present: Manifest, settings: MeshSettings = mesh.STRICT) -> Listener:
    return mesh.listener(mesh.translate(mesh.shop(*present), mesh.CATALOG, settings), "virtualInbound")


def _plain(listener: Listener) -> set[str]:
    chains = {chain.name for chain in listener.filter_chains}
    return {name for name in chains if "mtls" not in name} - {"blocked"}


def test_a_namespace_that_is_permissive_takes_plaintext_in_a_strict_mesh() -> None:
    assert _plain(_inbound()) == set()
    assert _inbound(peer("PERMISSIVE")) == _inbound(settings=mesh.PERMISSIVE)
    assert _inbound(peer("STRICT"), settings=mesh.PERMISSIVE) == _inbound()


def test_a_port_differs_from_its_pod() -> None:
    ports = {"8080": {"mode": "PERMISSIVE"}, "9999": {"mode": "PERMISSIVE"}}
    listener = _inbound(peer("STRICT", selector=CATALOG, portLevelMtls=ports))
    assert _plain(listener) == {"8080-tls", "8080-http", "9999-tls", "9999-http", "9999-tcp"}
    assert listener.listener_filters[-1].name.endswith("http_inspector")
    strict_port = {"8080": {"mode": "STRICT"}}
    opened = _inbound(peer("PERMISSIVE", selector=CATALOG, portLevelMtls=strict_port))
    assert {name for name in _plain(opened) if name.startswith("8080")} == {"8080-refused"}
    refusing = next(chain for chain in opened.filter_chains if chain.name == "8080-refused")
    assert not refusing.filter_chain_match.transport_protocol, "the app's own TLS neither"
    assert {"9000-http", "catch-all-http"} <= _plain(opened)


def test_where_the_mesh_sends_plaintext_nobody_may_refuse_it() -> None:
    assert _inbound(peer("STRICT"), settings=mesh.DISABLED) == _inbound(settings=mesh.DISABLED)


def _is_tls(index: Index, port: int) -> bool:
    snapshot = mesh.translate(index)
    name = f"outbound|{port}||catalog.shop.svc.cluster.local"
    (group,) = mesh.endpoints(snapshot, name).endpoints
    return names.SOCKET_MATCH_METADATA in group.lb_endpoints[0].metadata.filter_metadata


def _dialled(index: Index) -> dict[str, list[str]]:
    """By chain of those who dial pods by address: the addresses."""
    listener = mesh.listener(mesh.translate(index), "virtualOutbound")
    return {
        chain.name: [one.address_prefix for one in chain.filter_chain_match.prefix_ranges]
        for chain in listener.filter_chains
    }


def test_clients_send_plaintext_to_pods_that_disable_mesh_tls() -> None:
    index = mesh.shop()
    assert _is_tls(index, 8080)
    assert "pods" in _dialled(index)
    index.apply(peer("DISABLE"))
    assert not _is_tls(index, 8080)
    assert "pods" not in _dialled(index)
    assert _plain(_inbound(peer("DISABLE"))) == _plain(_inbound(settings=mesh.DISABLED))


def test_clients_send_plaintext_to_ports_that_disable_mesh_tls() -> None:
    index = mesh.shop(peer(selector=CATALOG, portLevelMtls={"8080": {"mode": "DISABLE"}}))
    assert not _is_tls(index, 8080)
    assert _is_tls(index, 7000)
    workload = index.registry.workload(POD)
    assert workload is not None
    assert workload.mesh_pod is not None
    assert workload.mesh_pod.excluded_ports == frozenset({8080})


def test_a_port_may_want_mesh_tls_in_a_pod_that_does_not() -> None:
    ports = {"8080": {"mode": "STRICT"}, "7000": {"mode": "DISABLE"}}
    index = mesh.shop(peer("DISABLE", selector=CATALOG, portLevelMtls=ports))
    assert _is_tls(index, 8080)
    assert not _is_tls(index, 7000)
    workload = index.registry.workload(POD)
    assert workload is not None
    assert workload.mesh_pod is not None
    assert workload.mesh_pod.included_ports == frozenset({8080})
