"""What the control plane emits is what the sidecar understands: in every mode, nothing is refused."""

import pytest

from control_plane.resources.manifest import Manifest
from control_plane.snapshot import Snapshot
from control_plane.translate.settings import MeshSettings, MtlsMode, OutboundTrafficPolicy
from control_plane.translate.translator import Translator
from meshproxy.config.model import Cluster, HttpConnectionManager, Listener
from meshproxy.config.route import RouteAction, RouteTable
from meshproxy.xds.translate import Value, translate
from tests.contract.test_policies_are_accepted import FEATURES
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh


def _accept(snapshot: Snapshot) -> dict[str, dict[str, Value]]:
    """By type URL and name; raises ConfigError for a refusal."""
    accepted = {}
    for type_url, resources in snapshot.resources.items():
        values = translate(type_url, [resource.body for resource in resources.values()])
        accepted[type_url] = {name: item.value for name, item in values.items()}
    return accepted


@pytest.mark.parametrize("mode", MtlsMode)
@pytest.mark.parametrize("policy", OutboundTrafficPolicy)
def test_the_sidecar_refuses_nothing(mode: MtlsMode, policy: OutboundTrafficPolicy) -> None:
    rules = [
        build.rule(build.backend("catalog", weight=90), build.backend("gone", weight=10)),
        build.rule(build.backend("gone"), paths=[("Exact", "/a"), ("PathPrefix", "/b/")]),
    ]
    index = mesh.shop(
        build.route("split", *rules),
        build.service("headless", vip="None"),
        build.endpoint_slice("catalog", build.endpoint("10.0.0.1"), name="outside"),
    )
    translator = Translator(index.registry, MeshSettings(mesh.TRUST_DOMAIN, mode, policy))
    for node in (mesh.WEB, mesh.CATALOG, mesh.ELSEWHERE):
        _accept(translator.snapshot(node))


def test_the_sidecar_reads_what_was_meant() -> None:
    split = build.rule(build.backend("catalog", weight=90), build.backend("gone", weight=10))
    snapshot = mesh.translate(mesh.shop(build.route("split", split)), mesh.CATALOG)
    values = {name: value for by_name in _accept(snapshot).values() for name, value in by_name.items()}
    table = values["8080"]
    assert isinstance(table, RouteTable)
    action = table.virtual_hosts[0].routes[0].action
    assert isinstance(action, RouteAction)
    assert [(share.name, share.weight) for share in action.clusters] == [
        ("outbound|8080||catalog.shop.svc.cluster.local", 90),
        ("missing|8080||gone.shop.svc.cluster.local", 10),
    ]
    assert (action.timeout, action.cluster_not_found_status) == (15.0, 500)
    assert action.retry is not None
    assert action.retry.retry_on == {"connect-failure", "refused-stream", "reset"}
    inbound = values["virtualInbound"]
    assert isinstance(inbound, Listener)
    assert inbound.tls_inspector
    assert not inbound.http_inspector
    manager = next(chain for chain in inbound.filter_chains if chain.name == "8080-mtls-http").network
    assert isinstance(manager, HttpConnectionManager)
    assert manager.forward_client_cert
    cluster = values["inbound|8080||"]
    assert isinstance(cluster, Cluster)
    assert (cluster.bind_address, cluster.bind_address_v6) == ("127.0.0.6", "::6")


def _policy(kind: str, **spec: object) -> Manifest:
    ref = {"group": "", "kind": "Service", "name": "catalog"}
    return {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": kind,
        "metadata": build.meta("one"),
        "spec": {"targetRefs": [ref], **spec},
    }


@pytest.mark.parametrize("feature", FEATURES)
def test_the_sidecar_carries_out_every_feature_of_traffic_policies(feature: str) -> None:
    """Acceptance is strict: what is accepted is followed."""
    index = mesh.shop(_policy("TrafficPolicy", **FEATURES[feature]))
    for node in (mesh.WEB, mesh.CATALOG):
        accepted = _accept(Translator(index.registry, MeshSettings(mesh.TRUST_DOMAIN)).snapshot(node))
        assert accepted


@pytest.mark.parametrize("resolution", ["STATIC", "DNS", "NONE"])
def test_the_sidecar_carries_out_service_entries(resolution: str) -> None:
    ports = [
        {"number": 80, "name": "http", "protocol": "HTTP"},
        {"number": 443, "name": "https", "protocol": "HTTP", "tls": {}},
        {"number": 5432, "name": "db", "protocol": "TCP"},
    ]
    spec: dict[str, object] = {
        "hosts": ["api.example.com"],
        "addresses": ["240.0.0.1"],
        "ports": ports if resolution != "NONE" else ports[:1],
        "resolution": resolution,
    }
    if resolution == "STATIC":
        spec["endpoints"] = [{"address": "10.0.0.7"}]
    manifest: Manifest = {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": "ServiceEntry",
        "metadata": build.meta("api"),
        "spec": spec,
    }
    snapshot = mesh.translate(mesh.shop(manifest), mesh.WEB)
    values = {name: value for by_name in _accept(snapshot).values() for name, value in by_name.items()}
    cluster = values["outbound|80||api.example.com"]
    assert isinstance(cluster, Cluster)
    assert (cluster.dns is not None) == (resolution == "DNS")
