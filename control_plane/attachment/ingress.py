"""Ingresses as listeners of the Gateway that their class names (pure): HTTP on 80, HTTPS on 443 by host.

Where the Gateway has such a listener itself, it takes their routes too. The Gateway's own listeners come
first: a host that one of them takes more precisely is its.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from control_plane.attachment.gateway_listener import ServedListener
from control_plane.attachment.hostname import intersection
from control_plane.discovery.gateway import GatewayObject
from control_plane.discovery.ingress import IngressObject, routes_of
from control_plane.discovery.model import ObjectName
from control_plane.discovery.registry import Registry
from control_plane.discovery.route import HttpRoute
from control_plane.resources.gateway_listener import AllowedRoutes, Listener

HTTP_PORT: Final = 80
HTTPS_PORT: Final = 443

Hosts = list[tuple[str, HttpRoute]]


def gateway_of(ingress: IngressObject, registry: Registry) -> GatewayObject | None:
    """Who serves it; None when its class names no Gateway of ours."""
    found = registry.gateways.ingress_classes.get(ingress.spec.ingress_class_name or "")
    gateway = registry.gateways.gateways.get(found.gateway) if found is not None and found.gateway else None
    return gateway if gateway is not None and registry.gateways.is_ours(gateway) else None


def with_ingresses(
    gateway: GatewayObject, served: list[ServedListener], registry: Registry
) -> list[ServedListener]:
    """The Gateway's usable listeners, and what its Ingresses add to them."""
    ingresses = sorted(
        (one for one in registry.gateways.ingresses.values() if gateway_of(one, registry) is gateway),
        key=lambda one: (one.created_at, one.key),
    )
    if not ingresses:
        return served
    hosts = [pair for one in ingresses for pair in routes_of(one, registry.port_number)]
    found = _add(served, _listener("HTTP", HTTP_PORT, ""), None, hosts)
    for host, key in _certificates(ingresses, registry).items():
        own = [(met, route) for name, route in hosts if (met := intersection(host, name)) is not None]
        found = _add(found, _listener("HTTPS", HTTPS_PORT, host), key, own)
    return found


def _certificates(ingresses: list[IngressObject], registry: Registry) -> dict[str, ObjectName]:
    """By host, the oldest Ingress's; those that cannot be used are left out."""
    known = registry.gateways.certificates
    found: dict[str, ObjectName] = {}
    for one in ingresses:
        for host, key in one.secrets().items():
            if key in known and not known[key].problem:
                found.setdefault(host, key)
    return found


def _add(
    served: list[ServedListener], wanted: Listener, certificate: ObjectName | None, hosts: Hosts
) -> list[ServedListener]:
    of_port = [one for one in served if one.listener.port == wanted.port]
    same = [
        one
        for one in of_port
        if one.listener.protocol == wanted.protocol
        and (one.listener.hostname or "") == (wanted.hostname or "")
    ]
    routes = tuple((route, (host,)) for host, route in hosts)
    if same:
        return [replace(one, routes=one.routes + routes) if one is same[0] else one for one in served]
    allowed = ("HTTP",) if wanted.protocol == "HTTP" else ("HTTPS", "TLS")
    if any(one.listener.protocol not in allowed for one in of_port):
        return served  # the port speaks something else
    return [*served, ServedListener(wanted, certificate, routes=routes)]


def _listener(protocol: str, port: int, host: str) -> Listener:
    """Not one that somebody wrote: a wildcard host makes no name that the API would take."""
    return Listener.model_construct(
        name=f"ingress-{host or 'any'}",
        hostname=host or None,
        port=port,
        protocol=protocol,
        tls=None,
        allowed_routes=AllowedRoutes(),
    )
