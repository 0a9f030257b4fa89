"""How a proxy presents itself to the control plane (pure): `DiscoveryRequest.node`."""

from __future__ import annotations

from collections.abc import Mapping

from control_plane.api.envoy.config.core.v3.base_pb2 import Node

_CLUSTER_DOMAIN = "cluster.local"


def node_of(
    *, role: str, pod_name: str, namespace: str, pod_ip: str, service_account: str, labels: Mapping[str, str]
) -> Node:
    """`<role>~<ip>~<pod>.<namespace>~<namespace>.svc.cluster.local`, with Istio's metadata names and words
    for roles: `sidecar`, or `router` for a gateway."""
    app = labels.get("app") or labels.get("app.kubernetes.io/name") or pod_name
    node = Node(
        id=f"{role}~{pod_ip}~{pod_name}.{namespace}~{namespace}.svc.{_CLUSTER_DOMAIN}",
        cluster=f"{app}.{namespace}",
    )
    # Kubernetes copies both from the Node to the Pods that run there.
    region, zone = (labels.get(f"topology.kubernetes.io/{name}", "") for name in ("region", "zone"))
    if zone:
        node.locality.region, node.locality.zone = region, zone
    node.metadata.update(
        {
            "NAMESPACE": namespace,
            "NAME": pod_name,
            "SERVICE_ACCOUNT": service_account,
            "LABELS": dict(labels),
            "INSTANCE_IPS": pod_ip,
            "GENERATOR": "meshproxy",
        }
    )
    return node
