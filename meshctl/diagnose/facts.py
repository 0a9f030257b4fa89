"""Everything that was seen (pure): objects of the API server, and pods from inside. Rules read only this."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from control_plane.resources.deployment import Deployment
from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.event import Event
from control_plane.resources.fault_policy import FaultPolicy
from control_plane.resources.node import Node
from control_plane.resources.pod import Pod
from control_plane.resources.service import Service, ServicePort
from injector.template import SIDECAR_CONTAINER
from meshctl.diagnose.question import Question
from meshctl.diagnose.routes import Route
from meshctl.json_value import JsonObject
from meshproxy.interception.rules import EMPTY, Ruleset


@dataclass(frozen=True, slots=True)
class Unseen:
    """What could not be looked at."""

    why: str


@dataclass(frozen=True, slots=True)
class Listening:
    """A TCP socket that takes connections."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class PodInside:
    """A pod's network namespace."""

    pid: int
    """Of a process in it, on its node."""
    listening: tuple[Listening, ...] = ()
    rules: Ruleset = field(default_factory=lambda: EMPTY)
    """What is there of the interception, IPv4."""
    refusals: tuple[str, ...] = ()
    """Rules of the packet filter that drop or reject, in the words of `iptables-save`."""


@dataclass(frozen=True, slots=True)
class SidecarFacts:
    """A sidecar by its own account."""

    problem: str = ""
    """Why its admin port did not answer; the rest is empty then."""
    not_ready: tuple[str, ...] = ()
    """Its reasons; empty when it is ready."""
    info: JsonObject = field(default_factory=dict)
    """`/server_info`"""
    certificates: JsonObject = field(default_factory=dict)
    """`/certs`"""
    clusters: tuple[JsonObject, ...] = ()
    """`/clusters`"""
    config: JsonObject = field(default_factory=dict)
    """`/config_dump`"""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One pod."""

    pod: Pod
    inside: PodInside | Unseen
    sidecar: SidecarFacts | Unseen | None
    """None: it has none."""
    sync: JsonObject | Unseen | None
    """The control plane's account of its sidecar; None: it is not connected."""

    @property
    def name(self) -> str:
        return self.pod.metadata.name

    @property
    def namespace(self) -> str:
        return self.pod.metadata.namespace

    @property
    def full_name(self) -> str:
        """`shop/web-7d4f-x2x`"""
        return f"{self.namespace}/{self.name}"


def has_sidecar(pod: Pod) -> bool:
    """By its spec."""
    return any(
        container.name == SIDECAR_CONTAINER for container in (*pod.spec.init_containers, *pod.spec.containers)
    )


@dataclass(frozen=True, slots=True)
class Backend:
    """A Service that requests end up at: the one asked for, or those that an HTTPRoute names instead."""

    service: Service
    port: int
    pods: tuple[PodFacts, ...] = ()
    """Those it selects and that have not ended."""
    slices: tuple[EndpointSlice, ...] = ()

    @property
    def name(self) -> str:
        """`shop/catalog`"""
        return f"{self.service.metadata.namespace}/{self.service.metadata.name}"

    @property
    def service_port(self) -> ServicePort | None:
        return next((one for one in self.service.spec.ports if one.port == self.port), None)

    @property
    def ready_pods(self) -> tuple[PodFacts, ...]:
        """Those that its EndpointSlices say are ready."""
        ready = {
            endpoint.target_ref.name
            for one in self.slices
            for endpoint in one.endpoints
            if endpoint.is_ready and endpoint.target_ref is not None
        }
        return tuple(pod for pod in self.pods if pod.name in ready)

    @property
    def used_pods(self) -> tuple[PodFacts, ...]:
        """Those that traffic goes to, or would if they were ready."""
        return self.ready_pods or tuple(pod for pod in self.pods if not pod.pod.metadata.deletion_timestamp)

    @property
    def ready_addresses(self) -> frozenset[str]:
        """`ip:port`, as its EndpointSlices say."""
        wanted = self.service_port
        name = "" if wanted is None else wanted.name or ""
        return frozenset(
            place(endpoint.addresses[0], port.port)
            for one in self.slices
            for endpoint in one.endpoints
            for port in one.ports
            if endpoint.is_ready and port.port is not None and port.name == name
        )


def place(address: str, port: int) -> str:
    """`10.244.0.7:8080`, `[fd00::7]:8080`"""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the client's resolver says of the name, asked as the app asks."""

    addresses: tuple[str, ...] = ()
    error: str = ""
    """In the C library's words; empty when it answered."""
    servers: tuple[str, ...] = ()
    """Of the pod's resolv.conf."""
    searches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cluster:
    """What of the API server's objects says something about the question."""

    services: tuple[Service, ...] = ()
    pods: tuple[Pod, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    nodes: tuple[Node, ...] = ()
    events: tuple[Event, ...] = ()
    injected_namespaces: frozenset[str] = frozenset()
    """Whose new pods get a sidecar."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it."""

    question: Question
    namespace: str
    """The client's, or what it would be."""
    client: PodFacts | None = None
    service: Service | None = None
    """The one asked for."""
    port: int = 0
    backends: tuple[Backend, ...] = ()
    routes: tuple[Route, ...] = ()
    """Those attached to the Service."""
    fault_policies: tuple[FaultPolicy, ...] = ()
    """Those attached to the Service or to one of the routes."""
    resolution: Resolution | Unseen = Unseen("nobody looked")
    reached: Mapping[str, str] | Unseen = Unseen("nobody looked")
    """By `ip:port` of a backend pod: why a connection from the client's pod past its sidecar failed, or
    nothing."""
    service_reached: str | Unseen = Unseen("nobody looked")
    """The same of the Service's own address and port, for a client without a sidecar."""
    cluster: Cluster = Cluster()
    now: float = 0.0
    """Seconds since the epoch."""

    @property
    def pods(self) -> tuple[PodFacts, ...]:
        """The client, then every backend pod that traffic goes to."""
        client = () if self.client is None else (self.client,)
        return (*client, *(pod for backend in self.backends for pod in backend.used_pods))
