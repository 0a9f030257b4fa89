"""From changed objects to a sidecar's configuration, through the real parts of both ends and a network that
delivers when it likes: nothing is lost, nothing dangles on the way, and restarts leave no trace.
"""

from collections import deque
from collections.abc import Iterator, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.api.envoy.config.core.v3.base_pb2 import Node as XdsNode
from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse
from control_plane.discovery.model import ObjectName
from control_plane.index import Index
from control_plane.push import StreamState
from control_plane.resources.manifest import Manifest, ObjectKey, key_of
from control_plane.translate.settings import Client, Node
from control_plane.translate.translator import Translator
from meshproxy.config.model import HttpConnectionManager
from meshproxy.config.route import RouteAction, RouteTable, WeightedCluster
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.xds.subscription import AdsState, references
from meshproxy.xds.translate import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    NAME_TABLE_TYPE,
    ROUTE_TYPE,
    SECRET_TYPE,
    SHORT_NAMES,
    translate,
)
from meshproxy.xds.warming import Warming
from tests.property.test_translation import pods, routes, services, slices
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh

NODE = Node(ObjectName("shop", "a"), Client("shop"))
MISSING = "missing|"
"""Clusters of this prefix are never defined: a route's share of a backend that does not exist."""


class Mesh:
    """A control plane, one sidecar, and what is on its way between them."""

    def __init__(self) -> None:
        self.objects: dict[ObjectKey, Manifest] = {}
        self.problems: list[str] = []
        self._client = AdsState(XdsNode(id="sidecar~10.244.0.9~a.shop~x"))
        self._warming = Warming()
        self._streams = 0
        self._begin()

    def _begin(self) -> None:
        """The control plane starts, reads everything, and the sidecar finds it."""
        self._index = Index()
        for manifest in self.objects.values():
            self._index.apply(manifest)
        self._translator = Translator(self._index.registry, mesh.PERMISSIVE)
        self._streams += 1
        self._server = StreamState(nonce_prefix=str(self._streams))
        self._down: deque[DiscoveryResponse] = deque()
        self._cursor, first = self._client.open_stream()
        self._up = deque(first)
        self._is_pushed = False
        self.push()

    restart = _begin

    def change(self, manifest: Manifest) -> None:
        self.objects[key_of(manifest)] = manifest
        self._is_pushed &= not self._index.apply(manifest).affected.includes(NODE.pod)

    def delete(self, choice: int) -> None:
        if self.objects:
            key = sorted(self.objects)[choice % len(self.objects)]
            del self.objects[key]
            self._is_pushed &= not self._index.delete(*key).affected.includes(NODE.pod)

    def push(self) -> None:
        """The debounce has ended; only a node that a change concerns is looked at."""
        if not self._is_pushed:
            self._is_pushed = True
            snapshot = self._translator.snapshot(NODE)
            assert snapshot.problems() == []
            self._down += self._server.on_snapshot(snapshot, 0.0)

    def up(self) -> bool:
        """One request arrives."""
        if self._up:
            self._down += self._server.on_request(self._up.popleft(), 0.0)
            return True
        return False

    def down(self) -> bool:
        """One response arrives, is accepted, and what is complete is published."""
        if not self._down:
            return False
        response = self._down.popleft()
        state = self._client.types[response.type_url]
        resources = translate(response.type_url, response.resources, state.accepted)
        self._up += self._client.accept(self._cursor, response, resources)
        published = self._warming.advance(self._client, 0.0)
        if published is not None:
            self.problems += dangling(published)
        return True

    def settle(self) -> ConfigSnapshot:
        self.push()
        for _ in range(1000):
            if not (self.up() or self.down()):
                break
        else:
            raise AssertionError("they never come to rest")
        assert self._server.next_deadline() is None, "the push waits for an answer that nobody gives"
        assert self._warming.published is not None
        return self._warming.published

    def fresh(self) -> dict[str, dict[str, object]]:
        """What a control plane that was started just now would give."""
        index = Index()
        for manifest in self.objects.values():
            index.apply(manifest)
        snapshot = Translator(index.registry, mesh.PERMISSIVE).snapshot(NODE)
        values: dict[str, dict[str, object]] = {
            type_url: {
                name: item.value
                for name, item in translate(type_url, [one.body for one in by_name.values()]).items()
            }
            for type_url, by_name in snapshot.resources.items()
        }
        asked_for = {name for one in values[LISTENER_TYPE].values() for name in references(one, ROUTE_TYPE)}
        values[ROUTE_TYPE] = {key: table for key, table in values[ROUTE_TYPE].items() if key in asked_for}
        return values


def dangling(snapshot: ConfigSnapshot) -> Iterator[str]:
    """Every reference that leads nowhere."""
    for name, listener in snapshot.listeners.items():
        for chain in (*listener.filter_chains, listener.default_filter_chain):
            if chain is None:
                continue
            if not isinstance(chain.network, HttpConnectionManager):
                yield from _absent(f"listener {name}", chain.network.clusters, snapshot)
            elif chain.network.route_table is not None:
                yield from _of_table(chain.network.route_table, snapshot)
            elif chain.network.rds_name not in snapshot.routes:
                yield f"listener {name} has no route table {chain.network.rds_name}"
    for table in snapshot.routes.values():
        yield from _of_table(table, snapshot)
    for name, cluster in snapshot.clusters.items():
        yield from (
            f"cluster {name} has no endpoints {reference}"
            for reference in references(cluster, ENDPOINT_TYPE)
            if reference not in snapshot.endpoints
        )


def _of_table(table: RouteTable, snapshot: ConfigSnapshot) -> Iterator[str]:
    for host in table.virtual_hosts:
        for route in host.routes:
            if isinstance(route.action, RouteAction):
                yield from _absent(f"route {table.name} {route.name}", route.action.clusters, snapshot)


def _absent(place: str, clusters: tuple[WeightedCluster, ...], snapshot: ConfigSnapshot) -> Iterator[str]:
    for one in clusters:
        if one.name not in snapshot.clusters and not one.name.startswith(MISSING):
            yield f"{place} refers to cluster {one.name}"


def _held(snapshot: ConfigSnapshot) -> dict[str, Mapping[str, object]]:
    return {
        LISTENER_TYPE: snapshot.listeners,
        ROUTE_TYPE: snapshot.routes,
        CLUSTER_TYPE: snapshot.clusters,
        ENDPOINT_TYPE: snapshot.endpoints,
        SECRET_TYPE: snapshot.secrets,
    }


manifests = st.one_of(services(), pods(), slices(), routes())
steps = st.lists(
    st.one_of(
        manifests,
        manifests,
        st.tuples(st.just("delete"), st.integers(0, 50)),
        st.sampled_from(["push", "up", "up", "down", "down", "settle", "restart"]),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(steps)
def test_a_sidecar_ends_with_what_a_fresh_translation_gives_and_nothing_dangles_on_the_way(
    events: list[object],
) -> None:
    world = Mesh()
    for event in events:
        match event:
            case dict():
                world.change(event)
            case ("delete", int(choice)):
                world.delete(choice)
            case str(name):
                getattr(world, name)()
    held, fresh = _held(world.settle()), world.fresh()
    for type_url, short in SHORT_NAMES.items():
        if type_url == NAME_TABLE_TYPE:
            continue  # asked for by sidecars that answer DNS
        assert dict(held[type_url]) == fresh.get(type_url, {}), short
    assert world.problems == []


def _objects(backend: str) -> list[Manifest]:
    """A route of Service `a` to `backend`, whose Service is there."""
    return [
        build.service("a", vip="10.96.0.1"),
        build.service(backend, vip="10.96.0.2"),
        build.route("split", build.rule(build.backend(backend)), parent="a"),
    ]


def test_what_changed_while_the_control_plane_was_away_is_taken_over_in_one_step() -> None:
    """It does not know what the sidecar holds: it tells first that a cluster is gone, later that no route
    uses it."""
    world = Mesh()
    for manifest in _objects("before"):
        world.change(manifest)
    world.settle()
    world.objects = {key_of(manifest): manifest for manifest in _objects("after")}
    world.restart()
    assert "outbound|8080||after.shop.svc.cluster.local" in world.settle().clusters
    assert world.problems == []
