"""Services that declare one port of a pod differently (pure): the oldest holds, the others are told."""

from collections.abc import Iterable
from typing import NamedTuple

from control_plane.discovery.model import PortProtocol, Service, ServicePort, ServiceView
from control_plane.discovery.port_claim import claims


class PortConflict(NamedTuple):
    """A port of a Service that is treated as another Service says."""

    port: ServicePort
    target: int
    holder: Service
    held_as: PortProtocol


def port_conflicts(view: ServiceView, others: Iterable[ServiceView]) -> tuple[PortConflict, ...]:
    """Of `view`; each of its ports once. `others`: Services that may have claims where it has."""
    older = sorted(
        (one for one in others if one.service.age < view.service.age), key=lambda one: one.service.age
    )
    held: dict[tuple[str, int], tuple[Service, PortProtocol]] = {}
    for other in older:
        for place, port in claims(other):
            held.setdefault(place, (other.service, port.protocol))
    found: dict[int, PortConflict] = {}
    for place, port in claims(view):
        holder = held.get(place)
        if holder is not None and holder[1] is not port.protocol:
            found.setdefault(port.number, PortConflict(port, place[1], *holder))
    return tuple(found.values())
