"""Routes of any kind that lead a Service's requests or connections elsewhere (pure)."""

from collections.abc import Iterator
from dataclasses import dataclass

from control_plane.resources.manifest import Manifest, kind_of, name_of, namespace_of
from control_plane.resources.service import Service
from meshctl.json_value import JsonObject, member, objects, text

KINDS = ("HTTPRoute", "GRPCRoute", "TCPRoute")
"""TLSRoutes are left out: connections that match none go to the Service's own endpoints."""
_CONDITIONS = ("Accepted", "ResolvedRefs")


@dataclass(frozen=True, slots=True)
class Target:
    """A Service that a rule names, and its port."""

    namespace: str
    name: str
    port: int
    weight: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One of a route's rules."""

    targets: tuple[Target, ...]
    answers: bool = False
    """By itself, with a redirect."""

    @property
    def leads_nowhere(self) -> bool:
        return not self.answers and not any(target.weight for target in self.targets)


@dataclass(frozen=True, slots=True)
class Route:
    """What of a route matters here."""

    kind: str
    namespace: str
    name: str
    rules: tuple[Rule, ...]
    problems: tuple[str, ...] = ()
    """What its status says does not hold."""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def route_of(manifest: Manifest) -> Route:
    """From the object."""
    namespace = namespace_of(manifest)
    rules = objects(member(manifest, "spec", "rules"))
    return Route(
        kind_of(manifest),
        namespace,
        name_of(manifest),
        tuple(_rule(rule, namespace) for rule in rules),
        tuple(_problems(manifest)),
    )


def is_for(manifest: Manifest, service: Service, port: int) -> bool:
    """It is attached to the Service's port."""
    meta = service.metadata
    names = {str(one.name) for one in service.spec.ports if one.port == port}
    for ref in objects(member(manifest, "spec", "parentRefs")):
        namespace = text(ref, "namespace") or namespace_of(manifest)
        named = (text(ref, "kind"), text(ref, "name"), namespace) == ("Service", meta.name, meta.namespace)
        is_port = text(ref, "port") in ("", str(port)) and text(ref, "sectionName") in {"", *names}
        if named and is_port:
            return True
    return False


def _rule(rule: JsonObject, namespace: str) -> Rule:
    targets = tuple(
        Target(
            text(ref, "namespace") or namespace,
            text(ref, "name"),
            int(text(ref, "port") or 0),
            int(text(ref, "weight") or 1),
        )
        for ref in objects(rule.get("backendRefs"))
        if text(ref, "kind") in ("", "Service")
    )
    answers = any(text(one, "type") == "RequestRedirect" for one in objects(rule.get("filters")))
    return Rule(targets, answers)


def _problems(manifest: Manifest) -> Iterator[str]:
    for parent in objects(member(manifest, "status", "parents")):
        for condition in objects(parent.get("conditions")):
            kind = text(condition, "type")
            if kind in _CONDITIONS and text(condition, "status") == "False":
                yield f"{kind} is False, {text(condition, 'reason')}: {text(condition, 'message')}"
