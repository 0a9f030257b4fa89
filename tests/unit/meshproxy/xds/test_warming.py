"""Warming: nothing half is published, and nobody is waited for without end."""

from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse
from meshproxy.xds.node import node_of
from meshproxy.xds.subscription import AdsState
from meshproxy.xds.translate import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, translate
from meshproxy.xds.warming import Warming
from tests.unit.meshproxy.xds import xds_message as message


class Sidecar:
    """State and warming driven by responses at given times."""

    def __init__(self) -> None:
        node = node_of(
            role="sidecar", pod_name="p", namespace="n", pod_ip="10.0.0.1", service_account="s", labels={}
        )
        self.state = AdsState(node)
        self.cursor, _ = self.state.open_stream()
        self.warming = Warming()

    def receive(self, type_url: str, *parts: message.Part, now: float = 0.0, version: str = "1") -> bool:
        """Whether something was published."""
        bodies = [message.packed(part) for part in parts]
        response = DiscoveryResponse(type_url=type_url, version_info=version, nonce="1", resources=bodies)
        resources = translate(type_url, bodies, self.state.types[type_url].accepted)
        self.state.accept(self.cursor, response, resources)
        return self.advance(now)

    def advance(self, now: float) -> bool:
        return self.warming.advance(self.state, now) is not None


def warm() -> Sidecar:
    sidecar = Sidecar()
    sidecar.receive(CLUSTER_TYPE, message.cluster("a"))
    sidecar.receive(ENDPOINT_TYPE, message.endpoints("a"))
    sidecar.receive(LISTENER_TYPE, message.listener())
    assert sidecar.receive(ROUTE_TYPE, message.routes("80", "a"))
    return sidecar


def test_the_first_snapshot_waits_for_clusters_endpoints_listeners_and_routes() -> None:
    sidecar = Sidecar()
    assert not sidecar.receive(LISTENER_TYPE, message.listener())
    assert not sidecar.receive(ROUTE_TYPE, message.routes("80", "a"))
    assert not sidecar.receive(CLUSTER_TYPE, message.cluster("a"))
    assert sidecar.receive(ENDPOINT_TYPE, message.endpoints("a"))
    published = sidecar.warming.published
    assert published is not None
    assert set(published.listeners) == {"0.0.0.0_80"}
    assert set(published.endpoints) == {"a"}
    assert dict(published.versions) == {"cds": "1", "eds": "1", "lds": "1", "rds": "1", "sds": "", "nds": ""}
    assert sidecar.warming.next_deadline(0.0) is None


def test_a_mesh_with_nothing_in_it_is_complete() -> None:
    sidecar = Sidecar()
    assert not sidecar.receive(CLUSTER_TYPE)
    assert sidecar.receive(LISTENER_TYPE)


def test_the_same_configuration_again_publishes_nothing() -> None:
    sidecar = warm()
    assert not sidecar.receive(CLUSTER_TYPE, message.cluster("a"), version="2")


def test_a_new_cluster_appears_with_its_endpoints() -> None:
    sidecar = warm()
    assert not sidecar.receive(CLUSTER_TYPE, message.cluster("a"), message.cluster("b"))
    assert sidecar.receive(ENDPOINT_TYPE, message.endpoints("b"))
    assert sidecar.warming.published is not None
    assert set(sidecar.warming.published.clusters) == {"a", "b"}


def test_a_changed_cluster_serves_as_it_was_until_its_new_endpoints_are_there() -> None:
    sidecar = warm()
    before = sidecar.warming.published
    assert before is not None
    moved = message.cluster("a")
    moved.eds_cluster_config.service_name = "elsewhere"
    assert not sidecar.receive(CLUSTER_TYPE, moved)
    assert sidecar.receive(LISTENER_TYPE, message.listener(), message.listener("tcp", message.tcp_proxy("a")))
    during = sidecar.warming.published
    assert during is not None
    assert during.clusters["a"] is before.clusters["a"]
    assert during.endpoints["a"] is before.endpoints["a"]
    assert sidecar.receive(ENDPOINT_TYPE, message.endpoints("elsewhere"))
    after = sidecar.warming.published
    assert after is not None
    assert after.clusters["a"].eds_service_name == "elsewhere"
    assert set(after.endpoints) == {"elsewhere"}


def test_a_listener_waits_for_its_routes_and_the_old_one_goes_on_with_its_own() -> None:
    sidecar = warm()
    before = sidecar.warming.published
    assert before is not None
    assert not sidecar.receive(LISTENER_TYPE, message.listener(network=message.http_manager("81")))
    assert sidecar.warming.published is before
    assert sidecar.receive(ROUTE_TYPE, message.routes("81", "a"))
    after = sidecar.warming.published
    assert after is not None
    assert set(after.routes) == {"81"}
    assert after.listeners["0.0.0.0_80"] is not before.listeners["0.0.0.0_80"]


def test_a_removed_listener_is_gone_at_once() -> None:
    sidecar = warm()
    assert sidecar.receive(LISTENER_TYPE)
    assert sidecar.warming.published is not None
    assert dict(sidecar.warming.published.listeners) == {}
    assert dict(sidecar.warming.published.routes) == {}


def test_nobody_is_waited_for_longer_than_fifteen_seconds_and_only_once() -> None:
    sidecar = Sidecar()
    sidecar.receive(CLUSTER_TYPE, message.cluster("a"), now=1.0)
    sidecar.receive(LISTENER_TYPE, message.listener(), now=2.0)
    assert sidecar.warming.next_deadline(2.0) == 16.0
    assert not sidecar.advance(16.0)
    assert sidecar.warming.next_deadline(16.0) == 17.0
    assert sidecar.advance(17.0)
    assert sidecar.warming.next_deadline(17.0) is None
    published = sidecar.warming.published
    assert published is not None
    assert (set(published.clusters), set(published.listeners)) == ({"a"}, {"0.0.0.0_80"})
    assert (dict(published.endpoints), dict(published.routes)) == ({}, {})
    assert not sidecar.advance(18.0)
    assert sidecar.receive(ENDPOINT_TYPE, message.endpoints("a"), now=19.0)


def test_a_new_stream_is_taken_over_when_it_has_told_everything() -> None:
    sidecar = warm()
    sidecar.cursor, _ = sidecar.state.open_stream()
    assert not sidecar.receive(CLUSTER_TYPE, message.cluster("b"))
    assert not sidecar.receive(ENDPOINT_TYPE, message.endpoints("b"))
    assert not sidecar.receive(LISTENER_TYPE, message.listener())
    assert sidecar.warming.published is not None
    assert set(sidecar.warming.published.clusters) == {"a"}, "its route still sends there"
    assert sidecar.receive(ROUTE_TYPE, message.routes("80", "b"))
    assert set(sidecar.warming.published.clusters) == {"b"}


def test_a_new_stream_that_tells_only_a_part_is_waited_for_fifteen_seconds() -> None:
    sidecar = warm()
    sidecar.cursor, _ = sidecar.state.open_stream()
    assert not sidecar.advance(99.0), "a stream that says nothing holds up nothing"
    sidecar.receive(CLUSTER_TYPE, message.cluster("a"), message.cluster("b"), now=100.0)
    sidecar.receive(ENDPOINT_TYPE, message.endpoints("b"), now=100.0)
    assert sidecar.warming.next_deadline(100.0) == 115.0
    assert not sidecar.advance(114.0)
    assert sidecar.advance(115.0)


def test_what_a_new_stream_has_refused_is_not_waited_for() -> None:
    sidecar = warm()
    sidecar.cursor, _ = sidecar.state.open_stream()
    response = DiscoveryResponse(type_url=ROUTE_TYPE, version_info="2", nonce="1")
    sidecar.state.reject(sidecar.cursor, response, "no")
    sidecar.receive(CLUSTER_TYPE, message.cluster("a"))
    sidecar.receive(ENDPOINT_TYPE, message.endpoints("a", 9090))
    assert sidecar.receive(LISTENER_TYPE, message.listener())


def test_a_table_comes_compiled_also_when_its_listener_keeps_it() -> None:
    sidecar = warm()
    first = sidecar.warming.published
    assert first is not None
    assert set(first.compiled) == set(first.routes) == {"80"}
    sidecar.receive(LISTENER_TYPE, message.listener(network=message.http_manager("81")))
    sidecar.receive(CLUSTER_TYPE, message.cluster("a"), message.cluster("b"))
    sidecar.receive(ENDPOINT_TYPE, message.endpoints("a"), message.endpoints("b"))
    kept = sidecar.warming.published
    assert kept is not None
    assert "b" in kept.clusters
    assert (kept.routes["80"], kept.compiled["80"]) == (first.routes["80"], first.compiled["80"])
