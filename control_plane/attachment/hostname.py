"""Hostnames of listeners and routes (pure): whether they meet, and in what (`HTTPRouteSpec.hostnames`).

A first label `*.` stands for one or more labels. An empty hostname is every host.
"""

from collections.abc import Iterable


def intersection(listener: str, route: str) -> str | None:
    """The more specific of two hostnames that meet; None when no host is both."""
    if not listener or not route:
        return listener or route
    if listener == route or _covers(listener, route):
        return route
    return listener if _covers(route, listener) else None


def intersections(listener: str, hostnames: Iterable[str]) -> tuple[str, ...]:
    """Hosts of a route that a listener takes, each once, in the route's order; a route without hostnames has
    the listener's."""
    wanted = tuple(hostnames) or ("",)
    met = [found for hostname in wanted if (found := intersection(listener, hostname)) is not None]
    return tuple(dict.fromkeys(met))


def specificity(hostname: str) -> tuple[bool, int]:
    """Larger is tried earlier: precise names before wildcards, longer ones first."""
    return not hostname.startswith("*.") and bool(hostname), len(hostname)


def _covers(pattern: str, hostname: str) -> bool:
    """Whether a wildcard pattern stands for every host of the other name."""
    if not pattern.startswith("*."):
        return False
    return hostname.removeprefix("*").endswith(pattern[1:]) and hostname != pattern[2:]
