"""Label sets of Istio's metrics (pure): from who talks to whom to the strings that Prometheus sees."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from meshproxy.config.model import Direction, ServiceIdentity, WorkloadIdentity
from meshproxy.telemetry.names import LATEST_REVISION, NO_FLAGS, UNKNOWN


class SecurityPolicy(Enum):
    """`connection_security_policy`: what protected the connection between the two sidecars."""

    MUTUAL_TLS = "mutual_tls"
    NONE = "none"
    UNKNOWN = "unknown"


class TcpLabels(NamedTuple):
    """Who talks to whom and how: one series of the TCP metrics. Fields are `names.TCP_LABELS`, in order."""

    reporter: str
    source_workload: str
    source_canonical_service: str
    source_canonical_revision: str
    source_workload_namespace: str
    source_principal: str
    source_app: str
    source_version: str
    source_cluster: str
    destination_workload: str
    destination_workload_namespace: str
    destination_principal: str
    destination_app: str
    destination_version: str
    destination_service: str
    destination_canonical_service: str
    destination_canonical_revision: str
    destination_service_name: str
    destination_service_namespace: str
    destination_cluster: str
    request_protocol: str
    response_flags: str
    connection_security_policy: str


class RequestLabels(NamedTuple):
    """One series of the request metrics; flattened, it is in `names.REQUEST_LABELS`' order."""

    peers: TcpLabels
    response_code: str
    grpc_response_status: str = ""
    """Number of the gRPC status; empty for plain HTTP."""


class _Workload(NamedTuple):
    """A workload's labels without their `source_`/`destination_` prefix."""

    workload: str
    canonical_service: str
    canonical_revision: str
    namespace: str
    app: str
    version: str
    cluster: str


def _workload(identity: WorkloadIdentity) -> _Workload:
    """Canonical service is the app, else the workload; canonical revision the version, else `latest`
    (Istio).
    """
    return _Workload(
        workload=identity.workload,
        canonical_service=identity.app if identity.app != UNKNOWN else identity.workload,
        canonical_revision=identity.version if identity.version != UNKNOWN else LATEST_REVISION,
        namespace=identity.namespace,
        app=identity.app,
        version=identity.version,
        cluster=identity.cluster,
    )


def tcp_labels(
    direction: Direction,
    own: WorkloadIdentity,
    peer: WorkloadIdentity,
    *,
    own_principal: str = "",
    peer_principal: str = "",
    service: ServiceIdentity,
    security: SecurityPolicy,
    response_flags: str = NO_FLAGS,
    request_protocol: str = "tcp",
) -> TcpLabels:
    """Labels as this sidecar reports them: outbound it is the source, inbound the destination.

    Principals are SPIFFE ids as verified on the connection; empty becomes `unknown`.
    """
    outbound = direction is Direction.OUTBOUND
    source, destination = (_workload(own), _workload(peer)) if outbound else (_workload(peer), _workload(own))
    source_principal, destination_principal = (
        (own_principal, peer_principal) if outbound else (peer_principal, own_principal)
    )
    return TcpLabels(
        reporter="source" if outbound else "destination",
        source_workload=source.workload,
        source_canonical_service=source.canonical_service,
        source_canonical_revision=source.canonical_revision,
        source_workload_namespace=source.namespace,
        source_principal=source_principal or UNKNOWN,
        source_app=source.app,
        source_version=source.version,
        source_cluster=source.cluster,
        destination_workload=destination.workload,
        destination_workload_namespace=destination.namespace,
        destination_principal=destination_principal or UNKNOWN,
        destination_app=destination.app,
        destination_version=destination.version,
        destination_service=service.host,
        destination_canonical_service=destination.canonical_service,
        destination_canonical_revision=destination.canonical_revision,
        destination_service_name=service.name,
        destination_service_namespace=service.namespace,
        destination_cluster=destination.cluster,
        request_protocol=request_protocol,
        response_flags=response_flags or NO_FLAGS,
        connection_security_policy=security.value,
    )


def request_labels(peers: TcpLabels, response_code: int, grpc_response_status: str = "") -> RequestLabels:
    """Labels of requests between the peers of a connection; 0 is the code when no response was sent."""
    return RequestLabels(peers, str(response_code), grpc_response_status)
