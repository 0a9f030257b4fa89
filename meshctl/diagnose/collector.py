"""Collects the facts: objects from the API server, then whatever eyes can see of the pods in question."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import click

from control_plane.client import ApiClient, ApiError, NotFound
from control_plane.resources.base import Resource
from control_plane.resources.deployment import Deployment
from control_plane.resources.endpoint_slice import SERVICE_NAME_LABEL, EndpointSlice
from control_plane.resources.event import Event
from control_plane.resources.fault_policy import FaultPolicy
from control_plane.resources.invalid import InvalidResource
from control_plane.resources.manifest import Manifest
from control_plane.resources.namespace import Namespace
from control_plane.resources.node import Node
from control_plane.resources.pod import Pod
from control_plane.resources.registry import BY_KIND
from control_plane.resources.service import Service
from control_plane.resources.target_ref import SERVICE
from lab.controllers.pod_state import has_ended
from lab.controllers.service_endpoint import target_of
from meshctl.diagnose.eyes import Eyes
from meshctl.diagnose.facts import Backend, Cluster, Facts, PodFacts, Unseen, has_sidecar, place
from meshctl.diagnose.interception import settings_in
from meshctl.diagnose.question import Question, service_of
from meshctl.diagnose.routes import KINDS, Route, is_for, route_of
from meshctl.json_value import JsonObject, text
from meshctl.proxy_status import TYPES, node_name, sync_states

Kind = TypeVar("Kind", bound=Resource)
INJECTION_LABEL = "meshproxy.io/injection"
MAX_PODS = 20
"""Pods of a backend that are looked into."""
_SETTLE = (0.3, 0.7, 1.5)
"""Seconds to wait for sidecars that were sent something a moment ago."""


class Ambiguous(Exception):
    """The question fits several; the message says how to ask."""


class Collector:
    """Collects for one question."""

    def __init__(self, client: ApiClient, eyes: Eyes, question: Question, namespace: str) -> None:
        """`namespace`: of the client where the question names none; empty: any."""
        self._client = client
        self._eyes = eyes
        self._question = question
        self._wanted = question.client_namespace or namespace
        self.unread: list[str] = []
        """Kinds that the API server did not tell of, and why."""

    async def collect(self) -> Facts:
        """Raises ApiError when Pods and Services cannot be read, Ambiguous."""
        pods = await self._read(Pod, self._wanted)
        deployments = await self._try(Deployment, self._wanted)
        namespace = self._namespace(pods, deployments)
        pods = [pod for pod in pods if pod.metadata.namespace == namespace]
        at, name = service_of(self._question.host, namespace)
        if at != namespace:
            pods += await self._read(Pod, at)
            deployments = [*deployments, *await self._try(Deployment, at)]
        services = await self._read(Service, at)
        service = next((one for one in services if one.metadata.name == name), None)
        if service is None:
            services = await self._read(Service, "")
        port = self._port(service)
        routes = await self._routes(service, port, namespace)
        backends = await self._backends(service, port, routes, pods)
        pods += await self._elsewhere(backends)
        client = _client(self._question.client, namespace, pods, deployments)
        facts = Facts(
            question=self._question,
            namespace=namespace,
            service=service,
            port=port,
            routes=tuple(routes),
            fault_policies=await self._faults(service, routes),
            cluster=await self._cluster(services, pods, deployments, {namespace, at}),
            now=time.time(),
        )
        return await self._look(facts, client, backends)

    # --- objects ---

    async def _read(self, kind: type[Kind], namespace: str, selector: str = "") -> list[Kind]:
        return self._parsed(kind, (await self._client.list(kind.KIND, namespace, selector)).items)

    async def _try(self, kind: type[Kind], namespace: str) -> list[Kind]:
        """As `_read`, but nothing where we may not look, which is told."""
        return self._parsed(kind, await self._list(kind.KIND, namespace))

    async def _list(self, kind: str, namespace: str) -> list[Manifest]:
        """Nothing where we may not look, which is told, and where the kind is not served."""
        try:
            return (await self._client.list(kind, namespace)).items
        except NotFound:
            return []
        except ApiError as error:
            self.unread.append(f"{kind}: {error}")
            return []

    def _parsed(self, kind: type[Kind], items: Iterable[Manifest]) -> list[Kind]:
        found = []
        for item in items:
            try:
                found.append(kind.read(item))
            except InvalidResource as error:
                self.unread.append(str(error))
        return found

    def _namespace(self, pods: Sequence[Pod], deployments: Sequence[Deployment]) -> str:
        if self._wanted:
            return self._wanted
        named = [one.metadata for one in (*pods, *deployments) if one.metadata.name == self._question.client]
        found = sorted({meta.namespace for meta in named})
        if len(found) > 1 and "default" not in found:
            raise Ambiguous(f"{self._question.client} is in namespaces {', '.join(found)}: say -n NAMESPACE")
        return found[0] if len(found) == 1 else "default"

    def _port(self, service: Service | None) -> int:
        if self._question.port is not None:
            return self._question.port
        declared = () if service is None else service.spec.ports
        if len(declared) > 1:
            shown = ", ".join(f"{self._question.host}:{one.port}" for one in declared)
            raise Ambiguous(f"Service {self._question.host} has several ports; ask about one of {shown}")
        return declared[0].port if declared else 0

    async def _routes(self, service: Service | None, port: int, client_namespace: str) -> list[Route]:
        """Those of the Service's namespace, which are for everybody, and those of the client's own."""
        if service is None:
            return []
        found = []
        for kind in KINDS:
            for namespace in sorted({service.metadata.namespace, client_namespace}):
                listed = await self._list(kind, namespace) if kind in BY_KIND else []
                found += [route_of(item) for item in listed if is_for(item, service, port)]
        return found

    async def _backends(
        self, service: Service | None, port: int, routes: Sequence[Route], pods: list[Pod]
    ) -> list[tuple[Service, int, list[Pod]]]:
        if service is None:
            return []
        wanted = {(service.metadata.namespace, service.metadata.name, port): None}
        if routes:
            rules = [rule for route in routes for rule in route.rules]
            targets = [target for rule in rules for target in rule.targets if target.weight]
            wanted = dict.fromkeys((one.namespace, one.name, one.port) for one in targets)
        read = {pod.metadata.namespace for pod in pods} | {service.metadata.namespace}
        found = []
        for namespace, name, number in wanted:
            if namespace not in read:
                pods += await self._read(Pod, namespace)
                read.add(namespace)
            try:
                one = Service.read(await self._client.get("Service", name, namespace))
            except (NotFound, InvalidResource):
                continue  # the route's status says so
            selected = [pod for pod in pods if _selects(one, pod)]
            found.append((one, number, selected))
        return found

    async def _elsewhere(self, backends: Iterable[tuple[Service, int, list[Pod]]]) -> list[Pod]:
        """Pods of other namespaces that a Service which selects nobody would select."""
        for service, _, pods in backends:
            selector = ",".join(f"{key}={value}" for key, value in service.spec.selector.items())
            if selector and not pods:
                return await self._read(Pod, "", selector)
        return []

    async def _faults(self, service: Service | None, routes: Sequence[Route]) -> tuple[FaultPolicy, ...]:
        if service is None:
            return ()
        targets = {(SERVICE, service.metadata.namespace, service.metadata.name)}
        targets |= {(one.kind, one.namespace, one.name) for one in routes}
        found = []
        for namespace in sorted({namespace for _, namespace, _ in targets}):
            for policy in await self._try(FaultPolicy, namespace):
                named = {(ref.kind, namespace, ref.name) for ref in policy.spec.target_refs}
                if named & targets:
                    found.append(policy)
        return tuple(found)

    async def _cluster(
        self,
        services: Sequence[Service],
        pods: Sequence[Pod],
        deployments: Sequence[Deployment],
        places: set[str],
    ) -> Cluster:
        events = [event for place in sorted(places) for event in await self._try(Event, place)]
        nodes = await self._try(Node, "")
        namespaces = await self._try(Namespace, "")
        injected = [
            one.metadata.name for one in namespaces if one.metadata.labels.get(INJECTION_LABEL) == "enabled"
        ]
        return Cluster(
            tuple(services), tuple(pods), tuple(deployments), tuple(nodes), tuple(events), frozenset(injected)
        )

    # --- pods ---

    async def _look(
        self, facts: Facts, client: Pod | None, backends: Sequence[tuple[Service, int, list[Pod]]]
    ) -> Facts:
        every = [pod for _, _, pods in backends for pod in pods[:MAX_PODS]]
        every += [client] if client is not None else []
        by_uid = {pod.metadata.uid: pod for pod in every}
        sync = await self._sync({f"{pod.metadata.name}.{pod.metadata.namespace}" for pod in by_uid.values()})
        seen = await asyncio.gather(*(self._look_into(pod, sync) for pod in by_uid.values()))
        facts_of = dict(zip(by_uid, seen, strict=True))
        built = []
        for service, port, pods in backends:
            meta = service.metadata
            slices = await self._read(EndpointSlice, meta.namespace, f"{SERVICE_NAME_LABEL}={meta.name}")
            looked = tuple(facts_of[pod.metadata.uid] for pod in pods[:MAX_PODS])
            built.append(Backend(service, port, looked, tuple(slices)))
        found = None if client is None else facts_of[client.metadata.uid]
        return await self._try_out(replace(facts, client=found, backends=tuple(built)))

    async def _look_into(self, pod: Pod, sync: dict[str, JsonObject] | Unseen) -> PodFacts:
        inside = await asyncio.to_thread(self._eyes.inside, pod)
        sidecar = await asyncio.to_thread(self._eyes.sidecar, pod) if has_sidecar(pod) else None
        name = f"{pod.metadata.name}.{pod.metadata.namespace}"
        return PodFacts(pod, inside, sidecar, sync if isinstance(sync, Unseen) else sync.get(name))

    async def _sync(self, concerned: set[str]) -> dict[str, JsonObject] | Unseen:
        """The control plane's account, a moment later where something was on its way."""
        try:
            for wait in (*_SETTLE, None):
                found = {node_name(node): node for node in await sync_states(self._client)}
                late = [name for name in concerned & found.keys() if _is_late(found[name])]
                if not late or wait is None:
                    return found
                await asyncio.sleep(wait)
        except (ApiError, click.ClickException) as error:
            return Unseen(f"the control plane does not tell how far sidecars are: {error}")
        raise AssertionError("unreachable: the last round returns")

    async def _try_out(self, facts: Facts) -> Facts:
        """What the client itself reaches and resolves."""
        client = facts.client
        if client is None or facts.service is None:
            return facts
        resolution = await asyncio.to_thread(self._eyes.resolve, client.pod, facts.question.host)
        settings = settings_in(client.pod)
        uid = 0 if settings is None else settings.proxy_uid
        reached: dict[str, str] = {}
        blind: Unseen | None = None
        for address, port in _places(facts):
            answer = await asyncio.to_thread(self._eyes.connect, client.pod, address, port, uid)
            if isinstance(answer, Unseen):
                blind = answer
                break
            reached[place(address, port)] = answer
        service_reached: str | Unseen = Unseen("the client's sidecar takes the Service's address")
        address = next(iter(facts.service.spec.addresses), "")
        has_endpoints = any(backend.ready_addresses for backend in facts.backends)
        if not has_sidecar(client.pod) and address and has_endpoints:
            service_reached = await asyncio.to_thread(self._eyes.connect, client.pod, address, facts.port, 0)
        return replace(
            facts, resolution=resolution, reached=blind or reached, service_reached=service_reached
        )


def _places(facts: Facts) -> list[tuple[str, int]]:
    found = []
    for backend in facts.backends:
        port = backend.service_port
        for pod in backend.used_pods:
            target = None if port is None or port.protocol != "TCP" else target_of(port, pod.pod)
            if target is not None and pod.pod.status.pod_ip:
                found.append((pod.pod.status.pod_ip, target))
    return found


def _is_late(node: JsonObject) -> bool:
    return any(text(node, "types", kind, "state") == "STALE" for kind in TYPES)


def _selects(service: Service, pod: Pod) -> bool:
    selector, meta = service.spec.selector, pod.metadata
    is_here = meta.namespace == service.metadata.namespace
    return bool(selector) and is_here and selector.items() <= meta.labels.items() and not has_ended(pod)


def _client(name: str, namespace: str, pods: Sequence[Pod], deployments: Sequence[Deployment]) -> Pod | None:
    """The Pod of this name, else one of the Deployment's, of which one that is ready is preferred."""
    here = [pod for pod in pods if pod.metadata.namespace == namespace]
    exact = [pod for pod in here if pod.metadata.name == name]
    for deployment in deployments:
        if (deployment.metadata.namespace, deployment.metadata.name) == (namespace, name):
            exact += [pod for pod in here if deployment.spec.selector.matches(pod.metadata.labels)]
    ranked = sorted(exact, key=lambda pod: (bool(pod.metadata.deletion_timestamp), not pod.status.is_ready))
    return next(iter(ranked), None)
