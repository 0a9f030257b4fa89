"""Policies on the routes of HTTPRoutes (pure): what a rule says itself comes first, then the policies of the
rule, of its route, of the Service's port, of the Service."""

from collections.abc import Iterable, Iterator, Mapping

from control_plane.api.envoy.config.route.v3 import route_components_pb2 as components
from control_plane.attachment.backend import backend_port
from control_plane.attachment.precedence import Entry
from control_plane.discovery.model import ObjectName, ServicePort
from control_plane.discovery.registry import Registry
from control_plane.discovery.route import HttpRoute, RouteRule
from control_plane.policy import effective
from control_plane.policy.attachment import Policy, PolicySet
from control_plane.translate import names
from control_plane.translate.policy_hooks import (
    Said,
    apply_to_host,
    apply_to_route,
    count_attempts,
    rule_policies,
)
from control_plane.translate.settings import Client
from control_plane.translate.traffic_policy import hash_policies, subset_match

_Backends = Mapping[str, tuple[ObjectName, ServicePort]]


def routed_policies(registry: Registry, routes: Iterable[HttpRoute]) -> tuple[Policy, ...]:
    """What `apply_to_rules` reads besides the policies of the Service that clients name."""
    found: dict[int, Policy] = {}
    for route in routes:
        for rule in route.rules:
            of_rule = rule_policies(registry.policies, route, rule.name)
            for policy in (*of_rule, *_backend_policies(rule, registry)):
                found[id(policy)] = policy
    return tuple(found.values())


def _backend_policies(rule: RouteRule, registry: Registry) -> Iterator[Policy]:
    for key, port in backends_of(rule, registry).values():
        yield from effective.for_port(registry.policies, effective.TRAFFIC, key, port)


def backends_of(rule: RouteRule, registry: Registry) -> _Backends:
    """Service and port of every cluster that the rule's requests may go to."""
    found = {}
    for backend in rule.backends:
        port = backend_port(backend.ref, registry)
        if port is not None:
            found[names.outbound_cluster(backend.ref.key, port.number)] = (backend.ref.key, port)
    return found


def apply_to_rules(
    host: components.VirtualHost,
    holding: tuple[Policy, ...],
    entries: list[Entry],
    registry: Registry,
    client: Client,
) -> None:
    """`holding`: policies of the Service's port; `entries`: what the routes of `host` were built from, none
    when it has the default route only."""
    if not entries:
        apply_to_host(host, holding, is_envoy=client.is_envoy)
        return
    count_attempts(host, holding)
    for route, entry in zip(host.routes, entries, strict=True):
        of_rule = rule_policies(registry.policies, entry.route, entry.rule.name)
        apply_to_route(route, (*of_rule, *holding), said_by(entry.rule), is_envoy=client.is_envoy)
        backends = backends_of(entry.rule, registry)
        if route.HasField("route"):
            _apply_backends(route.route, backends, registry.policies)
            spec = effective.merged(of_rule)
            if spec is not None and spec.subset is not None:
                choose_subset(route.route, spec.subset, registry.policies, backends)


def said_by(rule: RouteRule) -> Said:
    return Said(
        request_timeout=rule.timeouts.request is not None,
        backend_timeout=rule.timeouts.backend_request is not None,
        retry=rule.retry is not None,
    )


def _apply_backends(action: components.RouteAction, backends: _Backends, policies: PolicySet) -> None:
    """Hash keys are those of the first backend whose balancer hashes. The Service that clients name
    is not asked for an endpoint here."""
    for key, port in backends.values():
        spec = effective.traffic(policies, key, port)
        if spec is not None and spec.load_balancer is not None and spec.load_balancer.hash_on:
            del action.hash_policy[:]
            action.hash_policy.extend(hash_policies(spec.load_balancer.hash_on))
            return


def choose_subset(
    action: components.RouteAction, subset: str, policies: PolicySet, backends: _Backends
) -> None:
    """Send every share to its Service's subset; one whose Service has none of that name answers 500."""
    for share in action.weighted_clusters.clusters:
        if share.name not in backends:
            continue
        key, port = backends[share.name]
        match = subset_match(effective.traffic(policies, key, port), subset)
        if match is None:
            share.name = names.missing_backend(key, port.number)
        else:
            share.metadata_match.CopyFrom(match)
