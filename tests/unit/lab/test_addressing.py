"""Addresses of nodes and pods, and their allocator."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest

from lab.addressing import NoAddressLeft, NodeAddresses, PodAddresses


def addresses() -> PodAddresses:
    return PodAddresses(IPv4Network("10.244.1.0/24"))


def test_the_first_addresses_are_the_nodes_and_the_control_planes() -> None:
    assert addresses().allocate() == IPv4Address("10.244.1.3")


def test_a_freed_address_is_reused_last() -> None:
    pool = addresses()
    first = pool.allocate()
    pool.release(first)
    later = [pool.allocate() for _ in range(251)]
    assert first not in later
    assert pool.allocate() == first


def test_a_taken_address_is_not_given_out() -> None:
    pool = addresses()
    pool.take(IPv4Address("10.244.1.3"))
    assert pool.allocate() == IPv4Address("10.244.1.4")


def test_an_exhausted_node_says_so() -> None:
    pool = addresses()
    for _ in range(252):
        pool.allocate()
    with pytest.raises(NoAddressLeft, match="all 252 pod addresses"):
        pool.allocate()


def test_a_node_has_addresses_of_its_own_by_its_number() -> None:
    node = NodeAddresses(11)
    assert (str(node.pods), str(node.pods_6)) == ("10.244.11.0/24", "fd00:10:244:b::/64")
    assert (str(node.node), str(node.node_6)) == ("10.244.11.1", "fd00:10:244:b::1")
    assert (str(node.fabric), str(node.fabric_6)) == ("172.30.0.12", "fd00:172:30::c")
    assert str(node.control_plane) == "10.244.11.2"


def test_a_pods_second_address_follows_from_its_first() -> None:
    assert NodeAddresses(1).second(IPv4Address("10.244.1.200")) == IPv6Address("fd00:10:244:1::c8")
