"""Choosing the virtual address of a Service."""

from ipaddress import IPv4Network

import pytest

from control_plane.apiserver.cluster_ip import ClusterIpAllocator, ClusterIpRefused

SMALL = IPv4Network("10.0.0.0/29")  # .0 network, .1-.2 reserved here, .3-.6 to give, .7 broadcast


def test_skips_the_reserved_and_the_used() -> None:
    allocator = ClusterIpAllocator()
    assert allocator.choose({"10.96.0.11"}) == "10.96.0.12"


def test_an_address_is_not_given_again_at_once() -> None:
    allocator = ClusterIpAllocator(SMALL, reserved=2)
    given = [allocator.choose(set()) for _ in range(5)]
    assert given == ["10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.3"]


def test_all_in_use() -> None:
    allocator = ClusterIpAllocator(SMALL, reserved=2)
    used = {f"10.0.0.{last}" for last in range(3, 7)}
    with pytest.raises(ClusterIpRefused, match=r"every address of 10\.0\.0\.0/29 is in use"):
        allocator.choose(used)
    assert allocator.choose(used - {"10.0.0.6"}) == "10.0.0.6"


def test_a_reserved_address_is_given_to_who_asks() -> None:
    ClusterIpAllocator().check("10.96.0.10", set())


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("10.0.0.0", "not a usable address"),
        ("10.0.0.7", "not a usable address"),
        ("10.1.0.1", "not a usable address"),
        ("fd00::1", "not an IPv4 address"),
        ("10.0.0.4", "already allocated"),
    ],
)
def test_an_address_that_cannot_be_had(wanted: str, message: str) -> None:
    with pytest.raises(ClusterIpRefused, match=message):
        ClusterIpAllocator(SMALL, reserved=2).check(wanted, {"10.0.0.4"})


def test_a_network_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="no address besides"):
        ClusterIpAllocator(IPv4Network("10.0.0.0/30"), reserved=2)
