"""What is asked of the API server, and what is said of what it does not tell."""

from collections.abc import Sequence
from typing import cast

import pytest

from control_plane.client import ApiClient, ApiError, NotFound, ObjectList
from control_plane.resources.base import Resource
from control_plane.resources.manifest import Manifest, kind_of, name_of, namespace_of
from meshctl.diagnose.collector import Ambiguous, Collector
from meshctl.diagnose.eyes import Blind
from meshctl.diagnose.facts import Facts, Unseen
from meshctl.diagnose.finding import Layer
from meshctl.diagnose.question import parse_question
from meshctl.diagnose.walk import cause, walk
from tests.unit.meshctl.diagnose.world import (
    CATALOG_1,
    WEB,
    deployment,
    event,
    fault_policy,
    node,
    pod,
    service,
    slice_of,
    sync,
)


class Cluster:
    """An API server's objects. Kinds in `closed` may not be read."""

    server = "https://192.0.2.1:6443"

    def __init__(self, *objects: Resource | Manifest, closed: Sequence[str] = (), absent: Sequence[str] = ()):
        self._objects = [one.to_manifest() if isinstance(one, Resource) else one for one in objects]
        self._closed = closed
        self._absent = absent

    async def list(self, kind: str, namespace: str = "", label_selector: str = "") -> ObjectList:
        if kind in self._closed:
            raise ApiError(403, "Forbidden", f"{kind} is forbidden")
        if kind in self._absent:
            raise NotFound(404, "NotFound", "the server could not find the requested resource")
        wanted = dict(pair.split("=") for pair in label_selector.split(",") if pair)
        found = [
            one
            for one in self._objects
            if kind_of(one) == kind
            and namespace in ("", namespace_of(one))
            and wanted.items() <= cast("dict[str, dict[str, str]]", one["metadata"]).get("labels", {}).items()
        ]
        return ObjectList(found, "1")

    async def get(self, kind: str, name: str, namespace: str = "") -> Manifest:
        for one in (await self.list(kind, namespace)).items:
            if name_of(one) == name:
                return one
        raise NotFound(404, "NotFound", f"{name} not found")

    async def read(self, path: str) -> Manifest:
        if path in self._closed:
            raise ApiError(401, "Unauthorized", "who are you?")
        return {"nodes": [{"nodeId": "sidecar~10.244.0.5~web-1.shop~x", **sync()}]}


def labelled_slice() -> Manifest:
    found = slice_of(CATALOG_1.pod).to_manifest()
    metadata = {**cast("Manifest", found["metadata"]), "labels": {"kubernetes.io/service-name": "catalog"}}
    return {**found, "metadata": metadata}


MESH = (WEB.pod, CATALOG_1.pod, service(), labelled_slice(), deployment("web"), deployment(), node())


async def collect(cluster: Cluster, question: str, namespace: str = "") -> tuple[Facts, list[str]]:
    client = cast("ApiClient", cluster)
    collector = Collector(client, Blind("not from here"), parse_question([question]), namespace)
    return await collector.collect(), collector.unread


async def test_client_and_backends_are_found_by_deployment_and_selector() -> None:
    found, unread = await collect(Cluster(*MESH, event(WEB.pod, "Started", "it runs")), "web -> catalog")
    assert (found.namespace, found.port, unread) == ("shop", 8080, [])
    assert found.client is not None
    assert found.client.full_name == "shop/web-1"
    assert found.client.sync is not None
    assert [one.full_name for one in found.backends[0].ready_pods] == ["shop/catalog-1"]
    assert found.backends[0].pods[0].sync is None, "not connected"
    assert [one.message for one in found.cluster.events] == ["it runs"]
    assert cause(walk(found)) is None


async def test_kinds_that_may_not_be_read_are_named_and_those_not_served_are_not() -> None:
    closed = ["Event", "Node", "/debug/syncz"]
    found, unread = await collect(
        Cluster(*MESH, closed=closed, absent=["HTTPRoute", "FaultPolicy"]), "web -> catalog"
    )
    assert unread == ["Event: Event is forbidden", "Node: Node is forbidden"]
    assert found.client is not None
    assert isinstance(found.client.sync, Unseen)
    assert cause(walk(found)) is None


async def test_without_pods_and_services_there_is_nothing_to_say() -> None:
    with pytest.raises(ApiError, match="Pod is forbidden"):
        await collect(Cluster(*MESH, closed=["Pod"]), "web -> catalog")


async def test_an_object_that_is_not_understood_is_named() -> None:
    broken = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "odd"}, "status": 7}
    _, unread = await collect(Cluster(*MESH, broken), "web -> catalog")
    assert len(unread) == 1
    assert 'Node "odd" is invalid' in unread[0]


async def test_questions_that_fit_several_say_how_to_ask() -> None:
    twins = (pod("web-9", "10.1.0.1", namespace="a"), pod("web-9", "10.1.0.2", namespace="b"))
    with pytest.raises(Ambiguous, match="web-9 is in namespaces a, b: say -n NAMESPACE"):
        await collect(Cluster(*MESH, *twins), "web-9 -> catalog")
    found, _ = await collect(Cluster(*MESH, *twins), "web-9 -> catalog.shop", "b")
    assert found.client is not None
    assert found.client.full_name == "b/web-9"
    two = service(ports=[{"name": "a", "port": 1}, {"name": "b", "port": 2}])
    with pytest.raises(Ambiguous, match="ask about one of catalog:1, catalog:2"):
        await collect(Cluster(WEB.pod, deployment("web"), two), "web -> catalog")


async def test_a_service_that_is_missing_is_looked_for_everywhere() -> None:
    found, _ = await collect(Cluster(*MESH, pod("out-1", "10.1.0.1", namespace="b")), "out-1 -> catalog")
    blamed = cause(walk(found))
    assert blamed is not None
    assert blamed.evidence == ("Service catalog is in namespace shop",)


async def test_pods_that_a_service_would_select_elsewhere() -> None:
    away = pod("catalog-9", "10.1.0.1", namespace="prod")
    found, _ = await collect(Cluster(WEB.pod, deployment("web"), service(), away), "web -> catalog")
    blamed = cause(walk(found))
    assert blamed is not None
    assert blamed.evidence == ("pods with these labels are in namespace prod",)


async def test_routes_and_fault_policies_of_the_service_count() -> None:
    refs = [{"name": "catalog", "port": 8080}, {"name": "missing", "namespace": "prod", "port": 80}]
    split = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "split", "namespace": "shop"},
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": "front"}],
            "rules": [{"backendRefs": refs}],
        },
    }
    front = service("front", selector={})
    chaos = fault_policy(
        targetRefs=[{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "split"}],
        abort={"httpStatus": 500},
    )
    found, _ = await collect(
        Cluster(*MESH, front, split, chaos, fault_policy(delay={"fixed": "1s"})), "web -> front"
    )
    assert [str(one) for one in found.routes] == ["HTTPRoute shop/split"]
    assert [one.name for one in found.backends] == ["shop/catalog"], (
        "what is missing is for the route's status"
    )
    blamed = cause(walk(found))
    assert blamed is not None
    assert blamed.layer is Layer.POLICY
    assert "answers 100 % of the requests with 500" in blamed.what


async def test_nobody_of_this_name_is_no_client() -> None:
    found, _ = await collect(Cluster(*MESH), "wbe -> catalog", "shop")
    assert found.client is None
    assert found.namespace == "shop"
