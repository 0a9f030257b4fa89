"""Reading a node's description of itself."""

import pytest

from control_plane.discovery.model import ObjectName
from control_plane.translate.settings import Client, Node, NodeError, parse_node


def test_a_sidecar_is_known_by_its_pod() -> None:
    node = parse_node("sidecar~10.244.0.7~web-1.shop~shop.svc.cluster.local", {"GENERATOR": "meshproxy"})
    assert node == Node(ObjectName("shop", "web-1"), Client("shop"))


def test_a_pod_name_may_contain_dots() -> None:
    assert parse_node("sidecar~::1~a.b.shop~shop.svc.cluster.local", {}).pod == ObjectName("shop", "a.b")


def test_envoy_says_so_or_says_nothing_and_names_its_secrets() -> None:
    metadata = {"GENERATOR": "envoy", "SDS_DIR": "/etc/sds"}
    client = parse_node("sidecar~10.244.0.7~web-1.shop~shop.svc.cluster.local", metadata).client
    assert client == Client("shop", is_envoy=True, secrets_dir="/etc/sds")
    assert parse_node("sidecar~10.244.0.7~web-1.shop~x", {}).client.is_envoy


@pytest.mark.parametrize(
    "node_id",
    ["", "x", "gateway~1~a.b~c", "sidecar~1~a~c", "sidecar~1~.b~c", "sidecar~1~a.~c", "sidecar~1~a.b"],
)
def test_an_id_of_another_form_is_refused(node_id: str) -> None:
    with pytest.raises(NodeError, match=r"node\.id"):
        parse_node(node_id, {})


def test_a_relative_secrets_directory_is_refused() -> None:
    with pytest.raises(NodeError, match="SDS_DIR"):
        parse_node("sidecar~1~a.b~c", {"SDS_DIR": "etc"})
