"""Endpoints by place, as one client's `LocalityLbEndpoints` (pure).

Everything is worked out here, for the client's own place, into priorities and locality weights: Envoy's own
zone awareness needs a local cluster in its bootstrap, and priorities and weights mean the same to every
proxy. A place that may get requests only when others fail has priority 1 or more.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from control_plane.api.envoy.config.core.v3.base_pb2 import Locality as LocalityProto
from control_plane.api.envoy.config.endpoint.v3 import endpoint_components_pb2 as components
from control_plane.discovery.model import NOWHERE, Locality
from control_plane.resources.locality import Distribution, Failover, LocalityBalancing
from control_plane.translate.amount import count

_SCALE = 10_000
"""Weights are parts of this: a hundredth of a percent."""


class Standing(NamedTuple):
    """What a place is to the client."""

    priority: int = 0
    weight: int | None = None


def grouped(
    hosts: Sequence[tuple[Locality, components.LbEndpoint]],
    balancing: LocalityBalancing | None,
    client: Locality,
    clients: Mapping[Locality, int],
) -> list[components.LocalityLbEndpoints]:
    """`hosts` with their places; `clients`: how many pods of the mesh each place has."""
    places: dict[Locality, list[components.LbEndpoint]] = {}
    for place, host in hosts:
        places.setdefault(place, []).append(host)
    sizes = {place: len(members) for place, members in places.items()}
    standings = _standings(sizes, balancing, client, clients)
    groups = []
    for place, standing in sorted(standings.items(), key=lambda item: (item[1].priority, item[0])):
        group = components.LocalityLbEndpoints(lb_endpoints=places[place], priority=standing.priority)
        if place != NOWHERE:
            group.locality.CopyFrom(LocalityProto(region=place.region, zone=place.zone))
        if standing.weight is not None:
            group.load_balancing_weight.CopyFrom(count(standing.weight))
        groups.append(group)
    return groups


def is_weighted(balancing: LocalityBalancing | None) -> bool:
    """Whether the cluster heeds locality weights."""
    return balancing is not None and balancing.failover is None


def _standings(
    sizes: Mapping[Locality, int],
    balancing: LocalityBalancing | None,
    client: Locality,
    clients: Mapping[Locality, int],
) -> Mapping[Locality, Standing]:
    found: Mapping[Locality, Standing] | None = None
    if balancing is None:
        return dict.fromkeys(sizes, Standing())
    if balancing.failover is not None:
        return _failover(sizes, balancing.failover, client)
    if balancing.zone_aware is not None:
        if sum(sizes.values()) >= balancing.zone_aware.min_cluster_size:
            found = _zone_aware(sizes, client, clients)
    else:
        rule = next((one for one in balancing.distribute if _matches(one.origin, client)), None)
        found = None if rule is None else _distributed(sizes, rule)
    return {place: Standing(0, size) for place, size in sizes.items()} if found is None else found


# --- failover -----------------------------------------------------------------------------------------------


def _failover(
    sizes: Mapping[Locality, int], failover: Failover, client: Locality
) -> Mapping[Locality, Standing]:
    if client == NOWHERE:
        return dict.fromkeys(sizes, Standing())
    following = next((one.to for one in failover.regions if one.origin == client.region), None)
    ranks = {place: _rank(place, client, following) for place in sizes}
    # Priorities must begin at 0 and leave none out.
    order = {rank: number for number, rank in enumerate(sorted(set(ranks.values())))}
    return {place: Standing(order[rank]) for place, rank in ranks.items()}


def _rank(place: Locality, client: Locality, following: str | None) -> int:
    if place == client:
        return 0
    if place.region == client.region and place != NOWHERE:
        return 1
    return 2 if following is not None and place.region == following else 3


# --- zone awareness -----------------------------------------------------------------------------------------


def _zone_aware(
    sizes: Mapping[Locality, int], client: Locality, clients: Mapping[Locality, int]
) -> Mapping[Locality, Standing] | None:
    """None: zones say nothing to this client."""
    total, callers = sum(sizes.values()), sum(clients.values())
    if client == NOWHERE or client not in sizes or not clients.get(client) or len(sizes) < 2:
        return None
    # How far the endpoints of a place go for the clients of that place.
    room = {place: size / total - clients.get(place, 0) / callers for place, size in sizes.items()}
    if room[client] >= 0:
        return {place: Standing(0 if place == client else 1, size) for place, size in sizes.items()}
    local = (sizes[client] / total) / (clients[client] / callers)
    spare = {place: space for place, space in room.items() if space > 0}
    weights = {client: local} | {
        place: (1 - local) * space / sum(spare.values()) for place, space in spare.items()
    }
    return {
        place: Standing(0, max(1, round(weights[place] * _SCALE))) if place in weights else Standing(1, size)
        for place, size in sizes.items()
    }


# --- distribution -------------------------------------------------------------------------------------------


def _distributed(sizes: Mapping[Locality, int], rule: Distribution) -> Mapping[Locality, Standing]:
    """A percentage is shared among the places it names, by their endpoints; a place counts for the first."""
    named: dict[str, list[Locality]] = {}
    for place in sizes:
        pattern = next((one for one in sorted(rule.to, key=_breadth) if _matches(one, place)), None)
        if pattern is not None:
            named.setdefault(pattern, []).append(place)
    found = {}
    for pattern, places in named.items():
        endpoints = sum(sizes[place] for place in places)
        for place in places:
            part = rule.to[pattern] / 100 * sizes[place] / endpoints
            found[place] = Standing(0, max(1, round(part * _SCALE)))
    return found


def _breadth(pattern: str) -> tuple[bool, bool, str]:
    return pattern == "*", pattern.endswith("/*"), pattern


def _matches(pattern: str, place: Locality) -> bool:
    region, _, zone = pattern.partition("/")
    return pattern == "*" or (place.region == region and zone in ("*", place.zone))
