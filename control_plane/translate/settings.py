"""What translation depends on besides the registry (pure): the mesh-wide settings and the node asking."""

from dataclasses import dataclass
from enum import Enum

from certs.spiffe_id import SpiffeId, TrustDomain
from control_plane.discovery.model import NOWHERE, Locality, ObjectName, Workload


class MtlsMode(Enum):
    """`--mtls-mode`, for the whole mesh."""

    STRICT = "STRICT"
    """Sidecars refuse plaintext."""
    PERMISSIVE = "PERMISSIVE"
    """Sidecars accept both and send mesh TLS to each other."""
    DISABLE = "DISABLE"
    """Sidecars accept both and send plaintext."""


class OutboundTrafficPolicy(Enum):
    """`--outbound-traffic-policy`: what happens to destinations that no Service stands for."""

    ALLOW_ANY = "ALLOW_ANY"
    REGISTRY_ONLY = "REGISTRY_ONLY"


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """Mesh-wide settings; they change only with a restart of the control plane."""

    trust_domain: TrustDomain
    mtls_mode: MtlsMode = MtlsMode.STRICT
    outbound_traffic_policy: OutboundTrafficPolicy = OutboundTrafficPolicy.ALLOW_ANY

    def identity(self, namespace: str, service_account: str) -> str:
        """The SPIFFE id of a workload. Raises SpiffeIdError for names Kubernetes would not allow."""
        return str(SpiffeId.for_workload(self.trust_domain, namespace, service_account))

    def identity_of(self, workload: Workload) -> str:
        return self.identity(workload.key.namespace, workload.service_account)


@dataclass(frozen=True, slots=True)
class Client:
    """What outbound configuration may depend on. Nodes with equal clients share the resources."""

    namespace: str
    is_envoy: bool = False
    """Stock Envoy: it needs another spelling of the retry conditions."""
    secrets_dir: str = ""
    """Where stock Envoy finds its SDS files; empty: secrets are named only, and the sidecar's own agent
    answers."""
    locality: Locality = NOWHERE


@dataclass(frozen=True, slots=True)
class Node:
    """One connected proxy."""

    pod: ObjectName
    client: Client
    is_gateway: bool = False
    """It says so; which Gateway it serves, and whether any, its Pod's labels say."""


class NodeError(ValueError):
    """A node that says of itself what cannot be: names the field and the value."""


def parse_node(node_id: str, metadata: dict[str, str]) -> Node:
    """`sidecar~<ip>~<pod>.<namespace>~<namespace>.svc.cluster.local`, or `router` for a gateway, and the
    metadata's `GENERATOR` and `SDS_DIR`.

    Raises NodeError.
    """
    parts = node_id.split("~")
    pod, dot, namespace = parts[2].rpartition(".") if len(parts) == 4 else ("", "", "")
    if parts[0] not in ("sidecar", "router") or not (pod and dot and namespace):
        raise NodeError(
            f"node.id {node_id[:200]!r} must have the form "
            "sidecar~<ip>~<pod>.<namespace>~<namespace>.svc.cluster.local, or router~… for a gateway"
        )
    secrets_dir = metadata.get("SDS_DIR", "")
    if secrets_dir and not secrets_dir.startswith("/"):
        raise NodeError(f"node.metadata.SDS_DIR {secrets_dir!r} must be an absolute path")
    is_envoy = metadata.get("GENERATOR", "envoy") == "envoy"
    return Node(ObjectName(namespace, pod), Client(namespace, is_envoy, secrets_dir), parts[0] == "router")
