"""How pods are joined to their nodes, as commands; that they work is seen in the e2e tests."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from lab.addressing import NodeAddresses
from lab.lab_file import NodeKind
from lab.pod_link import PodLink, bridge_commands, node_commands, pod_commands

NODE = NodeAddresses(1)
ADDRESS = IPv4Address("10.244.1.7")


def link(*, is_dual_stack: bool = False) -> PodLink:
    return PodLink("shop_a", ADDRESS, NODE.second(ADDRESS) if is_dual_stack else None, Path("/pod"), 1450)


@pytest.mark.parametrize("kind", NodeKind)
def test_both_ends_have_the_networks_mtu_and_the_pair_carries_the_pods_name(kind: NodeKind) -> None:
    pair, attach, *_ = node_commands(link(), kind, NODE)
    assert pair.count("mtu 1450") == 2
    assert pair.startswith("link add lab0af40107 ")
    assert attach.endswith("alias shop_a")


@pytest.mark.parametrize("kind", NodeKind)
def test_the_second_address_is_given_only_where_there_is_one(kind: NodeKind) -> None:
    for is_dual_stack in (False, True):
        commands = pod_commands(link(is_dual_stack=is_dual_stack), kind, NODE)
        assert any("fd00:10:244:1::7" in line for line in commands) is is_dual_stack
    assert any(line.startswith("address add 10.244.1.7/") for line in commands)


def test_a_routed_pod_is_a_route_of_its_own() -> None:
    commands = node_commands(link(is_dual_stack=True), NodeKind.ROUTED, NODE)
    assert "route replace 10.244.1.7/32 dev lab0af40107 src 10.244.1.1" in commands
    assert "route replace fd00:10:244:1::7/128 dev lab0af40107 src fd00:10:244:1::1" in commands


def test_a_bridged_pod_is_a_port_that_reflects() -> None:
    commands = node_commands(link(), NodeKind.BRIDGE, NODE)
    assert commands[1:] == [
        "link set lab0af40107 master cni0 up alias shop_a",
        "link set lab0af40107 type bridge_slave hairpin on",
    ]


def test_the_bridge_has_the_nodes_addresses() -> None:
    assert "address replace 10.244.1.1/24 dev cni0" in bridge_commands(NODE, 1450, is_dual_stack=False)
    assert "address replace fd00:10:244:1::1/64 dev cni0 nodad" in bridge_commands(
        NODE, 1450, is_dual_stack=True
    )


@pytest.mark.parametrize("kind", NodeKind)
def test_the_two_ends_of_a_pair_never_have_the_same_index(kind: NodeKind) -> None:
    assert node_commands(link(), kind, NODE)[0].startswith("link add lab0af40107 index 1007 ")
