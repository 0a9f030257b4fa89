"""Ingresses in the mesh's own values: HTTPRoutes of the Gateway that their class names, and its certificates.

An IngressClass of ours (`controller: meshproxy.io/ingress-controller`) names in `parameters` the Gateway
whose pods serve its Ingresses. An Ingress without a class is nobody's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from control_plane.discovery.model import ObjectName
from control_plane.discovery.route import (
    GATEWAY_GROUP,
    Backend,
    HttpRoute,
    ObjectRef,
    PathMatch,
    PathMatchKind,
    RequestMatch,
    RouteRule,
)
from control_plane.resources.ingress import (
    Ingress,
    IngressBackend,
    IngressClass,
    IngressClassSpec,
    IngressPath,
    IngressSpec,
)

CONTROLLER: Final = "meshproxy.io/ingress-controller"

PortNumber = Callable[[ObjectName, str], int | None]
"""(Service, name of one of its ports) -> its number."""


@dataclass(frozen=True, slots=True)
class IngressClassObject:
    name: str
    spec: IngressClassSpec

    @property
    def gateway(self) -> ObjectName | None:
        """Who serves it; None unless it is ours and says so."""
        wanted = self.spec.parameters
        if self.spec.controller != CONTROLLER or wanted is None or wanted.namespace is None:
            return None
        if (wanted.api_group, wanted.kind) != (GATEWAY_GROUP, "Gateway"):
            return None
        return ObjectName(wanted.namespace, wanted.name)


@dataclass(frozen=True, slots=True)
class IngressObject:
    key: ObjectName
    created_at: str
    generation: int
    spec: IngressSpec

    def secrets(self) -> dict[str, ObjectName]:
        """Host -> the Secret with its certificate; an empty host is every host of the rules."""
        return {
            host: ObjectName(self.key.namespace, tls.secret_name)
            for tls in self.spec.tls
            if tls.secret_name is not None
            for host in (tls.hosts or self._rule_hosts())
        }

    def _rule_hosts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(rule.host or "" for rule in self.spec.rules)) or ("",)

    def hosts(self, number: PortNumber) -> dict[str, tuple[RouteRule, ...]]:
        """Host -> rules, in the order in which they are tried if they are equally precise."""
        found: dict[str, list[RouteRule]] = {}
        for rule in self.spec.rules:
            paths = rule.http.paths if rule.http is not None else ()
            found.setdefault(rule.host or "", []).extend(self._rule(path, number) for path in paths)
        default = self.spec.default_backend
        if default is not None:
            found.setdefault("", [])
            for rules in found.values():
                rules.append(RouteRule((RequestMatch(),), (self._backend(default, number),)))
        return {host: tuple(rules) for host, rules in found.items()}

    def _rule(self, path: IngressPath, number: PortNumber) -> RouteRule:
        kind = PathMatchKind.EXACT if path.path_type == "Exact" else PathMatchKind.PREFIX
        match = RequestMatch(PathMatch(kind, path.path or "/"))
        return RouteRule((match,), (self._backend(path.backend, number),))

    def _backend(self, backend: IngressBackend, number: PortNumber) -> Backend:
        service = backend.service
        key = ObjectName(self.key.namespace, service.name)
        port = service.port.number
        if port is None:
            port = number(key, service.port.name or "")
        return Backend(ObjectRef("", "Service", key, port), 1)


def ingress_object(resource: Ingress) -> IngressObject:
    meta = resource.metadata
    key = ObjectName(meta.namespace, meta.name)
    return IngressObject(key, meta.creation_timestamp, meta.generation, resource.spec)


def ingress_class_object(resource: IngressClass) -> IngressClassObject:
    return IngressClassObject(resource.metadata.name, resource.spec)


def routes_of(ingress: IngressObject, number: PortNumber) -> Iterator[tuple[str, HttpRoute]]:
    """(host, a route for it): an empty host is every host."""
    for host, rules in ingress.hosts(number).items():
        yield (
            host,
            HttpRoute(
                key=ingress.key,
                created_at=ingress.created_at,
                generation=ingress.generation,
                parents=(),
                rules=rules,
                hostnames=(host,) if host else (),
            ),
        )
