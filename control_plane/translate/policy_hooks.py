"""Where policies meet routes and listeners (pure): the few calls that `routes.py` and the translator make."""

from collections.abc import Iterable
from dataclasses import dataclass

from control_plane.api.envoy.config.route.v3 import route_components_pb2 as components
from control_plane.discovery.model import ObjectName, Service, ServicePort
from control_plane.discovery.route import HttpRoute
from control_plane.policy import effective
from control_plane.policy.attachment import Policy, PolicySet
from control_plane.resources.traffic_policy import TrafficPolicySpec
from control_plane.translate.fault import FAULT_FILTER, fault_config
from control_plane.translate.traffic_policy import (
    STATEFUL_SESSION_FILTER,
    apply_to_action,
    session_config,
)


def port_policies(policies: PolicySet, service: ObjectName, port: ServicePort) -> tuple[Policy, ...]:
    """What `apply_to_host` reads of a Service's port: what a remembered virtual host depends on."""
    return (
        *effective.for_port(policies, effective.TRAFFIC, service, port),
        *effective.for_port(policies, effective.FAULT, service, port),
    )


def rule_policies(policies: PolicySet, route: HttpRoute, rule: str) -> tuple[Policy, ...]:
    """What `apply_to_route` reads of a rule of a route (empty: it has no name)."""
    return (
        *effective.for_rule(policies, effective.TRAFFIC, route.key, rule, route.kind),
        *effective.for_rule(policies, effective.FAULT, route.key, rule, route.kind),
    )


@dataclass(frozen=True, slots=True)
class Said:
    """What an HTTPRoute's rule says itself: there no policy has a word."""

    request_timeout: bool = False
    backend_timeout: bool = False
    retry: bool = False


NOTHING_SAID = Said()


def apply_to_host(host: components.VirtualHost, holding: Iterable[Policy], *, is_envoy: bool) -> None:
    """What the policies of a Service's port (`port_policies`) say, on every route of its virtual host."""
    found = tuple(holding)
    for route in host.routes:
        apply_to_route(route, found, NOTHING_SAID, is_envoy=is_envoy)
    count_attempts(host, found)


def count_attempts(host: components.VirtualHost, holding: Iterable[Policy]) -> None:
    """Attempts are counted in heads where the port's policies say so."""
    spec = effective.merged(holding)
    if spec is not None and spec.retry is not None and spec.retry.attempt_count:
        host.include_request_attempt_count = True
        host.include_attempt_count_in_response = True


def apply_to_route(route: components.Route, holding: Iterable[Policy], said: Said, *, is_envoy: bool) -> None:
    """What policies say, most specific first: those of the rule, then those of the Service's port.

    For a route that is complete but for them.
    """
    found = tuple(holding)
    spec = effective.merged(found)
    if spec is not None and route.HasField("route"):
        apply_to_action(route.route, _unsaid(spec, said), is_envoy=is_envoy)
    configs = route.typed_per_filter_config
    if spec is not None and spec.session_affinity is not None and STATEFUL_SESSION_FILTER not in configs:
        configs[STATEFUL_SESSION_FILTER].CopyFrom(session_config(spec.session_affinity))
    fault = effective.fault(tuple(policy for policy in found if policy.kind == effective.FAULT))
    if fault is not None:
        configs[FAULT_FILTER].CopyFrom(fault_config(fault))


def _unsaid(spec: TrafficPolicySpec, said: Said) -> TrafficPolicySpec:
    """`spec` without what the rule says itself."""
    changes: dict[str, object] = {}
    if spec.timeouts is not None:
        request = None if said.request_timeout else spec.timeouts.request
        per_try = None if said.backend_timeout else spec.timeouts.per_try
        changes["timeouts"] = spec.timeouts.model_copy(update={"request": request, "per_try": per_try})
    if said.retry:
        changes["retry"] = None
    return spec.model_copy(update=changes)


def header_timeout(policies: PolicySet, service: Service, port: ServicePort) -> str | None:
    """`timeouts.header` of a Service's port; GEP-2257."""
    spec = effective.traffic(policies, service.key, port)
    return None if spec is None or spec.timeouts is None else spec.timeouts.header
