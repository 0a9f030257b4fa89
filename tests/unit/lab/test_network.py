"""The allocator of pod addresses."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from lab.netns import NetworkError
from lab.network import PodAddresses


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
    with pytest.raises(NetworkError, match="all 252 pod addresses"):
        pool.allocate()
