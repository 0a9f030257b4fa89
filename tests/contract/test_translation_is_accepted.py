"""What the control plane emits is what the sidecar understands: in every mode, nothing is refused."""

import pytest

from control_plane.snapshot import Snapshot
from control_plane.translate.settings import MeshSettings, MtlsMode, OutboundTrafficPolicy
from control_plane.translate.translator import Translator
from meshproxy.config.model import Cluster, HttpConnectionManager, Listener
from meshproxy.config.route import RouteAction, RouteTable
from meshproxy.xds.translate import Value, translate
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
