"""Which Services declare which ports of pods, and as what (pure): only where two declare one port differently
does anybody have to be compared with anybody, however many Services share their pods.

A port that declares nothing claims nothing.
"""

from collections.abc import Iterator

from control_plane.discovery.model import ObjectName, PortProtocol, ServicePort, ServiceView

Place = tuple[str, int]
"""Address and port of an endpoint."""
_Claim = tuple[Place, PortProtocol, ObjectName]


def claims(view: ServiceView) -> Iterator[tuple[Place, ServicePort]]:
    """What a Service says of its endpoints' ports."""
    for port, endpoints in zip(view.service.ports, view.endpoints, strict=True):
        if port.protocol is not PortProtocol.UNDECLARED:
            for endpoint in endpoints:
                yield (endpoint.address, endpoint.port), port


class PortClaims:
    """The claims of all Services, kept up to date change by change."""

    def __init__(self) -> None:
        self._places: dict[Place, dict[PortProtocol, set[ObjectName]]] = {}
        self._to_tell: set[ObjectName] = set()

    def note(self, old: ServiceView | None, new: ServiceView | None) -> None:
        """One Service looks different now; None: it is not there."""
        before, after = _declared(old), _declared(new)
        self._tell(before)
        for place, protocol, key in before - after:
            here = self._places[place]
            here[protocol].discard(key)
            if not here[protocol]:
                del here[protocol]
            if not here:
                del self._places[place]
        for place, protocol, key in after - before:
            self._places.setdefault(place, {}).setdefault(protocol, set()).add(key)
        self._tell(after)

    def take_to_tell(self) -> frozenset[ObjectName]:
        """Services that share a port with one that declares it differently, where something changed."""
        to_tell, self._to_tell = frozenset(self._to_tell), set()
        return to_tell

    def rivals(self, view: ServiceView) -> frozenset[ObjectName]:
        """Other Services with a claim where not all claim the same as `view` does."""
        return frozenset(self._contestants(_declared(view)) - {view.service.key})

    def _tell(self, claimed: frozenset[_Claim]) -> None:
        self._to_tell |= self._contestants(claimed)

    def _contestants(self, claimed: frozenset[_Claim]) -> set[ObjectName]:
        found: set[ObjectName] = set()
        for place in {place for place, _, _ in claimed}:
            here = self._places.get(place, {})
            if len(here) > 1:
                found.update(*here.values())
        return found


def _declared(view: ServiceView | None) -> frozenset[_Claim]:
    if view is None:
        return frozenset()
    return frozenset((place, port.protocol, view.service.key) for place, port in claims(view))
