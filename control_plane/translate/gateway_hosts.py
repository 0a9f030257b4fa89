"""Virtual hosts of a Gateway's listeners (pure): HTTPRoutes by the hosts for which they are attached.

Listeners are isolated: a host belongs to the most specific listener of the port that takes it, and to no
other, also when that one has no route for it: it then answers 404.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from control_plane.api.envoy.config.route.v3 import route_components_pb2 as components
from control_plane.attachment.gateway_listener import ServedListener
from control_plane.attachment.grant import is_granted
from control_plane.attachment.hostname import intersection, specificity
from control_plane.attachment.precedence import Entry, ordered_entries
from control_plane.discovery.model import ObjectName, Service
from control_plane.discovery.registry import Registry
from control_plane.discovery.route import GATEWAY_GROUP, HttpRoute, ObjectRef, ReferenceGrant
from control_plane.policy import effective
from control_plane.translate.policy_hooks import port_policies
from control_plane.translate.policy_routes import apply_to_rules, backends_of
from control_plane.translate.rate_limit import RATE_LIMIT_FILTER, rate_limit_config
from control_plane.translate.route_action import Parent, fill_route
from control_plane.translate.route_match import route_match
from control_plane.translate.settings import Client


@dataclass(frozen=True, slots=True)
class Permitted:
    """What routes of one namespace may refer to: a `KnownObjects` in which the rest does not exist."""

    registry: Registry
    kind: str
    namespace: str

    def service(self, key: ObjectName) -> Service | None:
        is_permitted = is_granted(
            self.registry.grants_of(key.namespace),
            group=GATEWAY_GROUP,
            kind=self.kind,
            namespace=self.namespace,
            target=ObjectRef("", "Service", key),
        )
        return self.registry.service(key) if is_permitted else None

    def grants_of(self, namespace: str) -> Iterable[ReferenceGrant]:
        return self.registry.grants_of(namespace)


def virtual_hosts(
    served: Iterable[ServedListener], registry: Registry, client: Client
) -> list[components.VirtualHost]:
    """Of HTTP listeners that share a port and a filter chain, ordered by name."""
    listeners = sorted(served, key=lambda one: specificity(one.listener.hostname or ""), reverse=True)
    found: dict[str, components.VirtualHost] = {}
    for one in listeners:
        own = one.listener.hostname or ""
        routes = _by_host(one)
        routes.setdefault(own, [])
        for host in sorted(routes):
            if host not in found and _holder(host, listeners) is one:
                found[host] = _host(host, one, routes[host], registry, client)
    return [found[host] for host in sorted(found)]


def _by_host(one: ServedListener) -> dict[str, list[HttpRoute]]:
    found: dict[str, list[HttpRoute]] = {}
    for route, hosts in one.routes:
        if isinstance(route, HttpRoute):
            for host in hosts:
                found.setdefault(host, []).append(route)
    return found


def _holder(host: str, listeners: list[ServedListener]) -> ServedListener | None:
    """The most specific listener that takes all of `host`; `listeners` are ordered so."""
    for one in listeners:
        if intersection(one.listener.hostname or "", host) == host:
            return one
    return None


def _host(
    host: str, one: ServedListener, routes: list[HttpRoute], registry: Registry, client: Client
) -> components.VirtualHost:
    made = components.VirtualHost(name=f"{one.listener.name}|{host or '*'}", domains=[host or "*"])
    for entry in ordered_entries(routes):
        route = _route(entry, one.listener.port, registry, client)
        made.routes.append(_with_policies(route, entry, registry, client))
    return made


def _with_policies(
    route: components.Route, entry: Entry, registry: Registry, client: Client
) -> components.Route:
    """Those of the rule and its route; where all goes to one Service, those of its port come after them."""
    backends = list(backends_of(entry.rule, registry).values())
    holding = port_policies(registry.policies, *backends[0]) if len(backends) == 1 else ()
    alone = components.VirtualHost(routes=[route])
    apply_to_rules(alone, holding, [entry], registry, client)
    made = alone.routes[0]
    of_rule = effective.for_rule(
        registry.policies, effective.RATE_LIMIT, entry.route.key, entry.rule.name, entry.route.kind
    )
    limit = effective.rate_limit(of_rule)
    if limit is not None:
        made.typed_per_filter_config[RATE_LIMIT_FILTER].CopyFrom(rate_limit_config(limit))
    return made


def _route(entry: Entry, port: int, registry: Registry, client: Client) -> components.Route:
    route = components.Route(name=f"{entry.rule_name}/{entry.match_index}", match=route_match(entry.match))
    known = Permitted(registry, entry.route.kind, entry.route.key.namespace)
    # No Service has an empty name: a rule without backends has nobody to send to here.
    nobody = Parent(ObjectName(entry.route.key.namespace, ""), port)
    fill_route(route, entry, nobody, known, client)
    return route
