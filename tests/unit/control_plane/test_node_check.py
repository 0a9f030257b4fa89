"""Whose configuration a client may have."""

import pytest

from control_plane.api.envoy.config.core.v3.base_pb2 import Node
from control_plane.node_check import loopback_check, mutual_tls_check
from tests.unit.control_plane.translate import mesh

IDENTITY = "spiffe://cluster.local/ns/shop/sa/catalog"


def _node(pod: str = "catalog-1.shop") -> Node:
    return Node(id=f"sidecar~10.244.0.7~{pod}~shop.svc.cluster.local")


@pytest.mark.parametrize(
    ("node", "peer", "reason"),
    [
        (_node(), IDENTITY, None),
        (_node(), None, "client certificate"),
        (
            _node(),
            "spiffe://cluster.local/ns/shop/sa/web",
            "the caller is spiffe://cluster.local/ns/shop/sa/web",
        ),
        (_node(), "spiffe://other/ns/shop/sa/catalog", "the caller is spiffe://other"),
        (_node("ghost.shop"), IDENTITY, "there is no Pod shop/ghost"),
        (_node("catalog-1.other"), IDENTITY, "there is no Pod other/catalog-1"),
        (Node(id="me"), IDENTITY, "must have the form"),
    ],
)
def test_the_certificate_must_be_of_the_pod_that_the_node_names(
    node: Node, peer: str | None, reason: str | None
) -> None:
    registry = mesh.shop().registry
    answer = mutual_tls_check(lambda: registry, mesh.STRICT)(node, peer)
    assert answer is None if reason is None else reason in (answer or "")


def test_on_loopback_anybody_may_look_but_not_stand_in_for_a_connected_node() -> None:
    connected = {_node().id}
    check = loopback_check(lambda node_id: node_id in connected)
    assert check(_node("spare.shop"), None) is None
    assert "connected already" in (check(_node(), None) or "")
    assert "must have the form" in (check(Node(id="x"), None) or "")
