"""`Table` and `PartialObjectMetadata` (pure): the two ways a client may ask to have objects told shortly."""

from collections.abc import Iterable, Mapping

from control_plane.apiserver.table import cluster, mesh, network, pod, workload
from control_plane.apiserver.table.shape import Shape
from control_plane.resources.manifest import Manifest, metadata

META_GROUP = "meta.k8s.io"
_PLAIN = Shape((), lambda manifest, now: ())

SHAPES: Mapping[str, Shape] = {
    "Pod": pod.SHAPE,
    "Deployment": workload.DEPLOYMENT,
    "ReplicaSet": workload.REPLICA_SET,
    "Job": workload.JOB,
    "Service": network.SERVICE,
    "EndpointSlice": network.ENDPOINT_SLICE,
    "Ingress": network.INGRESS,
    "IngressClass": network.INGRESS_CLASS,
    "Namespace": cluster.NAMESPACE,
    "Node": cluster.NODE,
    "ServiceAccount": cluster.SERVICE_ACCOUNT,
    "ConfigMap": cluster.CONFIG_MAP,
    "Secret": cluster.SECRET,
    "Event": cluster.EVENT,
    "MutatingWebhookConfiguration": cluster.WEBHOOKS,
    "ValidatingWebhookConfiguration": cluster.WEBHOOKS,
    "Gateway": mesh.GATEWAY,
    "GatewayClass": mesh.GATEWAY_CLASS,
    "HTTPRoute": mesh.HOST_ROUTE,
    "GRPCRoute": mesh.HOST_ROUTE,
    "TLSRoute": mesh.HOST_ROUTE,
    "TrafficPolicy": mesh.POLICY,
    "FaultPolicy": mesh.POLICY,
    "RateLimitPolicy": mesh.POLICY,
    "ServiceEntry": mesh.SERVICE_ENTRY,
    "PeerAuthentication": mesh.PEER_AUTHENTICATION,
}
"""By kind. Others have Name and Age."""


def table(
    kind: str,
    items: Iterable[Manifest],
    list_metadata: Manifest,
    *,
    version: str,
    include: str,
    now: float,
    with_columns: bool = True,
) -> Manifest:
    """A `Table` of `version`. `include`: what of each object stands in its row (None, Metadata, Object)."""
    shape = SHAPES.get(kind, _PLAIN)
    rows = [{"cells": shape.row(item, now), "object": _included(item, version, include)} for item in items]
    return {
        "kind": "Table",
        "apiVersion": f"{META_GROUP}/{version}",
        "metadata": list_metadata,
        # A watch tells them once.
        "columnDefinitions": shape.definitions() if with_columns else None,
        "rows": rows,
    }


def _included(item: Manifest, version: str, include: str) -> Manifest | None:
    if include == "None":
        return None
    return item if include == "Object" else partial_metadata(item, version)


def partial_metadata(manifest: Manifest, version: str) -> Manifest:
    """Only the object's metadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"{META_GROUP}/{version}",
        "metadata": metadata(manifest),
    }


def partial_metadata_list(items: Iterable[Manifest], list_metadata: Manifest, version: str) -> Manifest:
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": f"{META_GROUP}/{version}",
        "metadata": list_metadata,
        "items": [partial_metadata(item, version) for item in items],
    }
