"""Which PeerAuthentication holds for a pod (pure): of several about the same pods, the oldest.

As in Istio (`pilot/pkg/security/authn`): a mode that is UNSET is inherited from the next wider one, and at
last from `--mtls-mode`, which is not known here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from control_plane.discovery.model import ANY_TRANSPORT, ObjectName, Transport, Workload
from control_plane.resources.peer_authentication import PeerAuthentication as Resource
from control_plane.resources.peer_authentication import PeerAuthenticationSpec

MESH_NAMESPACE = "meshproxy-system"
"""One without selector holds for the whole mesh here."""
_UNSET = "UNSET"
Scope = Literal["mesh", "namespace", "pods"]


@dataclass(frozen=True, slots=True)
class PeerAuthentication:
    """One object."""

    key: ObjectName
    created_at: str
    spec: PeerAuthenticationSpec
    generation: int = 0

    @property
    def scope(self) -> Scope:
        if self.spec.selector is not None:
            return "pods"
        return "mesh" if self.key.namespace == MESH_NAMESPACE else "namespace"

    @property
    def age(self) -> tuple[str, ObjectName]:
        """The lowest is the oldest; then the names decide."""
        return self.created_at, self.key

    def selects(self, workload: Workload) -> bool:
        selector = self.spec.selector
        if self.scope == "mesh":
            return True
        is_near = self.key.namespace == workload.key.namespace
        return is_near and (
            selector is None or selector.match_labels.items() <= dict(workload.labels).items()
        )

    def stands_beside(self, other: "PeerAuthentication") -> bool:
        """Whether both are about exactly the same pods, so that only the older can hold."""
        return self.key.namespace == other.key.namespace and self.spec.selector == other.spec.selector


def peer_authentication(resource: Resource) -> PeerAuthentication:
    meta = resource.metadata
    key = ObjectName(meta.namespace, meta.name)
    return PeerAuthentication(key, meta.creation_timestamp, resource.spec, meta.generation)


def transport_of(workload: Workload, known: Iterable[PeerAuthentication]) -> Transport:
    """What the workload's sidecar demands, and what others send it. `known`: oldest first."""
    found: dict[str, PeerAuthentication] = {}
    for one in known:
        if one.selects(workload):
            found.setdefault(one.scope, one)
    mode = ""
    for scope in ("mesh", "namespace", "pods"):
        if scope in found and found[scope].spec.mtls.mode != _UNSET:
            mode = found[scope].spec.mtls.mode
    if "pods" not in found:
        return Transport(mode) if mode else ANY_TRANSPORT
    ports = found["pods"].spec.port_level_mtls.items()
    said = sorted((int(port), one.mode) for port, one in ports if one.mode != _UNSET)
    return Transport(mode, tuple(said)) if mode or said else ANY_TRANSPORT


class PeerAuthentications:
    """All of them."""

    def __init__(self) -> None:
        self._known: dict[ObjectName, PeerAuthentication] = {}
        self._ordered: tuple[PeerAuthentication, ...] = ()

    def get(self, key: ObjectName) -> PeerAuthentication | None:
        return self._known.get(key)

    def put(self, one: PeerAuthentication) -> bool:
        """False when nothing changed."""
        if self._known.get(one.key) == one:
            return False
        self._known[one.key] = one
        self._order()
        return True

    def remove(self, key: ObjectName) -> PeerAuthentication | None:
        """The one that was there."""
        found = self._known.pop(key, None)
        self._order()
        return found

    def _order(self) -> None:
        self._ordered = tuple(sorted(self._known.values(), key=lambda one: one.age))

    def beside(self, one: PeerAuthentication) -> tuple[PeerAuthentication, ...]:
        """Those about exactly the same pods, itself among them, oldest first."""
        return tuple(other for other in self._ordered if other.stands_beside(one))

    def stamped(self, workload: Workload) -> Workload:
        """With what holds for it."""
        return replace(workload, transport=transport_of(workload, self._ordered))
