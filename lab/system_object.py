"""The lab's own objects (pure): the Services of the control plane and of DNS, and where the former is."""

from control_plane.resources.manifest import Manifest
from lab.addressing import DNS_ADDRESS

SYSTEM_NAMESPACE = "meshproxy-system"
CONTROL_PLANE = "control-plane"
CONTROL_PLANE_PORTS = {"signing": 15011, "xds": 15012, "http-metrics": 15014}
_DNS_PORTS = {"dns": "UDP", "dns-tcp": "TCP"}


def system_objects(control_plane_address: str) -> list[Manifest]:
    """The lab's own objects: the Services of the control plane and of DNS, and where the former is."""
    ports = [{"name": name, "port": port, "protocol": "TCP"} for name, port in CONTROL_PLANE_PORTS.items()]
    dns = [{"name": name, "port": 53, "protocol": protocol} for name, protocol in _DNS_PORTS.items()]
    control_plane: Manifest = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": CONTROL_PLANE,
            "namespace": SYSTEM_NAMESPACE,
            "labels": {"kubernetes.io/service-name": CONTROL_PLANE},
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [
            {"addresses": [control_plane_address], "conditions": {"ready": True, "serving": True}},
        ],
    }
    return [
        _service(CONTROL_PLANE, SYSTEM_NAMESPACE, {"ports": ports}),
        _service("kube-dns", "kube-system", {"ports": dns, "clusterIP": str(DNS_ADDRESS)}),
        control_plane,
    ]


def _service(name: str, namespace: str, spec: Manifest) -> Manifest:
    metadata: Manifest = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
