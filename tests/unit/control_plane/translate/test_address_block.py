"""Addresses as prefixes: as few as can be, and exactly the addresses."""

import random
from ipaddress import collapse_addresses, ip_address, ip_network

import pytest

from control_plane.translate.address_block import Block, blocks


def test_neighbours_become_one_prefix_and_others_do_not():
    assert blocks(["10.0.0.6", "10.0.0.7"]) == [Block("10.0.0.6", 31)]
    assert blocks(["10.0.0.7", "10.0.0.8"]) == [Block("10.0.0.7", 32), Block("10.0.0.8", 32)]
    assert blocks(["fd00::1", "10.0.0.1", "fd00::", "10.0.0.1"]) == [
        Block("10.0.0.1", 32),
        Block("fd00::", 127),
    ]
    assert blocks([]) == []
    with pytest.raises(ValueError, match="pod-1"):
        blocks(["pod-1"])


@pytest.mark.parametrize("seed", range(20))
def test_they_are_what_collapsing_gives(seed: int):
    rng = random.Random(seed)
    base = rng.choice([ip_address("10.244.0.0"), ip_address("fd00::")])
    addresses = [str(base + rng.randrange(300)) for _ in range(rng.randrange(1, 600))]
    expected = collapse_addresses(map(ip_network, set(addresses)))  # type: ignore[type-var]
    assert [str(one) for one in expected] == [f"{one.address}/{one.length}" for one in blocks(addresses)]
