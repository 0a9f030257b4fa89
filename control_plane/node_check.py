"""May this client have that node's configuration? Asked once for each ADS stream."""

from collections.abc import Callable

from control_plane.ads import Authorize
from control_plane.api.envoy.config.core.v3.base_pb2 import Node as XdsNode
from control_plane.discovery.registry import Registry
from control_plane.publisher import texts
from control_plane.translate.settings import MeshSettings, NodeError, parse_node


def mutual_tls_check(registry: Callable[[], Registry], settings: MeshSettings) -> Authorize:
    """15012: the certificate must be of the Pod that the node id names. `registry` gives the present one."""

    def check(node: XdsNode, peer: str | None) -> str | None:
        try:
            pod = parse_node(node.id, texts(node.metadata)).pod
        except NodeError as error:
            return str(error)
        if peer is None:
            return "a client certificate with exactly one SPIFFE id is required"
        workload = registry().workload(pod)
        if workload is None:
            return f"node.id {node.id!r}: there is no Pod {pod}"
        expected = settings.identity_of(workload)
        return (
            None
            if peer == expected
            else f"node.id {node.id!r}: Pod {pod} is {expected}, the caller is {peer}"
        )

    return check


def loopback_check(is_connected: Callable[[str], bool]) -> Authorize:
    """15010, plaintext, on loopback only: whoever is on this machine may look, but not stand in for a
    node."""

    def check(node: XdsNode, peer: str | None) -> str | None:
        try:
            parse_node(node.id, texts(node.metadata))
        except NodeError as error:
            return str(error)
        return f"node {node.id!r} is connected already" if is_connected(node.id) else None

    return check
