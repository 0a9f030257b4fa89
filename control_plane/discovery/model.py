"""What the mesh knows about services and workloads (pure, frozen values); routes are in `route.py`.

Built from stored resources by `parse.py`, held by `registry.py`, read by `control_plane/translate/`. Equality
decides whether a stored change matters to any sidecar, so nothing volatile (resource versions, status,
timestamps of probes) belongs here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


@dataclass(frozen=True, slots=True, order=True)
class ObjectName:
    """A namespaced name, e.g. `shop/catalog`."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Locality(NamedTuple):
    """Where something runs; empty where it is not known."""

    region: str = ""
    zone: str = ""


NOWHERE = Locality()


class PortProtocol(Enum):
    """What a Service port declares about the bytes on it."""

    HTTP = "http"
    """HTTP/1.1; clients may speak HTTP/2 to the sidecar all the same."""
    HTTP2 = "http2"
    """HTTP/2, gRPC among it."""
    TCP = "tcp"
    """Opaque: declared tcp or tls, or a well-known server-first protocol."""
    UNDECLARED = "undeclared"
    """Nothing declared: the sidecar looks at the first bytes."""

    @property
    def is_http(self) -> bool:
        """Whether the port declares requests, of whatever version."""
        return self in (PortProtocol.HTTP, PortProtocol.HTTP2)


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One entry of `Service.spec.ports`."""

    number: int
    name: str
    """Empty when the Service has one unnamed port; EndpointSlices are joined by this name."""
    protocol: PortProtocol
    target: int | str
    """Port number in the pod, or the name of a container port."""


@dataclass(frozen=True, slots=True)
class Service:
    """A Service as clients see it. `vip` is empty for a headless or an external one."""

    key: ObjectName
    vip: str
    ports: tuple[ServicePort, ...]
    selector: tuple[tuple[str, str], ...]
    """Sorted label pairs a pod must carry; empty selects nothing."""
    created_at: str
    """RFC 3339, for the oldest-wins rule between Services that claim one port differently."""
    external_name: str = ""
    """DNS name outside the mesh that the Service stands for (type ExternalName)."""
    more_vips: tuple[str, ...] = ()
    """Virtual addresses besides `vip`: of the other family."""

    @property
    def vips(self) -> tuple[str, ...]:
        """Every virtual address."""
        return (self.vip, *self.more_vips) if self.vip else ()

    @property
    def age(self) -> tuple[str, ObjectName]:
        """The lowest is the oldest; then the names decide."""
        return self.created_at, self.key


@dataclass(frozen=True, slots=True)
class Transport:
    """What PeerAuthentications say of a pod: `STRICT`, `PERMISSIVE`, `DISABLE`."""

    mode: str = ""
    """Empty: as the mesh is set."""
    ports: tuple[tuple[int, str], ...] = ()
    """Ports of the pod that differ, sorted."""

    def is_plain(self, port: int) -> bool:
        """Whether others must send plaintext there."""
        return dict(self.ports).get(port, self.mode) == PLAIN

    @property
    def plain_ports(self) -> frozenset[int]:
        """Those that are plain though the pod is not."""
        return frozenset(port for port, mode in self.ports if mode == PLAIN)


PLAIN = "DISABLE"
ANY_TRANSPORT = Transport()


@dataclass(frozen=True, slots=True)
class Workload:
    """What of a Pod matters to the mesh."""

    key: ObjectName
    ip: str
    """Pod address; empty until it has one, and once it has ended."""
    labels: tuple[tuple[str, str], ...]
    service_account: str
    meshed: bool
    """True when the pod carries a sidecar that terminates mesh TLS (label `meshproxy.io/tls-mode:
    mutual`)."""
    included_inbound_ports: frozenset[int] | None
    """Ports whose traffic the sidecar takes; None is all."""
    excluded_inbound_ports: frozenset[int]
    """Ports whose traffic bypasses the sidecar: they must be reached without mesh TLS."""
    named_ports: tuple[tuple[str, int], ...]
    """Container ports by name, for Services whose targetPort is a name."""
    owner: str
    """Name of the Deployment (or other controller) the pod belongs to, else the pod's own name."""
    app: str
    version: str
    node_name: str = ""
    opaque_ports: frozenset[int] = frozenset()
    """Ports whose bytes nobody shall look at, whatever Services say of them."""
    transport: Transport = ANY_TRANSPORT

    @property
    def mesh_pod(self) -> MeshPod | None:
        """None without a sidecar or an address, and where others must send plaintext."""
        if not self.meshed or not self.ip:
            return None
        if self.transport.mode == PLAIN:
            rest = frozenset(port for port, _ in self.transport.ports if self.wants_tls(port))
            return MeshPod(self.ip, rest) if rest else None
        plain, included = self.transport.plain_ports, self.included_inbound_ports
        if included is not None:
            included -= plain
        return MeshPod(self.ip, included, self.excluded_inbound_ports | plain)

    def intercepts(self, port: int) -> bool:
        """Whether connections to `port` meet the sidecar."""
        included = self.included_inbound_ports is None or port in self.included_inbound_ports
        return self.meshed and included and port not in self.excluded_inbound_ports

    def wants_tls(self, port: int) -> bool:
        """Whether sidecars speak mesh TLS to `port`."""
        return self.intercepts(port) and not self.transport.is_plain(port)


@dataclass(frozen=True, slots=True)
class MeshPod:
    """A pod with a sidecar, as those see it who dial its address."""

    ip: str
    included_ports: frozenset[int] | None = None
    """Intercepted ones; None is all."""
    excluded_ports: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class SlicePort:
    """One entry of `EndpointSlice.ports`."""

    name: str
    number: int


@dataclass(frozen=True, slots=True)
class SliceEndpoint:
    """One address of an EndpointSlice."""

    address: str
    ready: bool
    pod: ObjectName | None
    """From `targetRef`; None when no Pod stands behind the address."""
    node_name: str = ""
    zone: str = ""
    hostname: str = ""
    """By which DNS knows it below the Service's name; empty where it has none."""
    is_leaving: bool = False
    """Not ready any more, because its Pod is being deleted, but still answering."""


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """Addresses of a Service."""

    key: ObjectName
    service: ObjectName
    ports: tuple[SlicePort, ...]
    endpoints: tuple[SliceEndpoint, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of one Service port, joined with the Pod behind it."""

    address: str
    port: int
    workload: Workload | None
    """None for an address that no Pod stands behind."""
    locality: Locality = NOWHERE

    @property
    def is_meshed(self) -> bool:
        """Mesh TLS ends there: the pod has a sidecar and the port is not taken out of its interception, nor
        set to plaintext."""
        return self.workload is not None and self.workload.wants_tls(self.port)


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A Service with the endpoints of each of its ports. A new object exactly when something in it
    changed."""

    service: Service
    endpoints: tuple[tuple[Endpoint, ...], ...]
    """Ready ones, parallel to `service.ports`; each sorted by address and port. Where none is ready, those
    that are leaving and still answer."""
    identities: tuple[tuple[str, str], ...]
    """(namespace, service account) of every meshed pod behind the Service, ready or not, sorted. Unready ones
    count, so that a pod's readiness never changes whom clients trust, and with it the cluster."""
    pod_addresses: tuple[tuple[str, str], ...] = ()
    """Of a headless Service only: (host name or "", address) of what is ready behind it, whatever its ports,
    sorted: what DNS answers."""


# --- who must hear of a change ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Affected:
    """Which sidecars a change concerns. Falsy when it concerns nobody."""

    everyone: bool = False
    namespaces: frozenset[str] = field(default_factory=frozenset)
    pods: frozenset[ObjectName] = field(default_factory=frozenset)
    """Pods by name; a pod's sidecar carries it in its node id."""

    def __bool__(self) -> bool:
        return self.everyone or bool(self.namespaces) or bool(self.pods)

    def __or__(self, other: Affected) -> Affected:
        if self.everyone or other.everyone:
            return EVERYONE
        return Affected(False, self.namespaces | other.namespaces, self.pods | other.pods)

    def includes(self, pod: ObjectName) -> bool:
        """Whether the sidecar of `pod` must be looked at again."""
        return self.everyone or pod.namespace in self.namespaces or pod in self.pods


NOBODY = Affected()
EVERYONE = Affected(everyone=True)
