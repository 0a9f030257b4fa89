"""Who has to be compared with whom, and who not."""

from __future__ import annotations

from random import Random

import pytest

from control_plane.discovery.model import (
    Endpoint,
    ObjectName,
    PortProtocol,
    Service,
    ServicePort,
    ServiceView,
)
from control_plane.discovery.port_claim import PortClaims, claims

HTTP, TCP, UNDECLARED = PortProtocol.HTTP, PortProtocol.TCP, PortProtocol.UNDECLARED


def view(
    name: str, protocol: PortProtocol = HTTP, *addresses: str, number: int = 80, target: int = 8080
) -> ServiceView:
    key, port = ObjectName("shop", name), ServicePort(number, "p", protocol, target)
    service = Service(key, "10.96.0.1", (port,), (), "2026-01-01T00:00:00Z")
    endpoints = tuple(Endpoint(address, target, None) for address in addresses or ("10.244.0.7",))
    return ServiceView(service, (endpoints,), ())


def names(keys: frozenset[ObjectName]) -> set[str]:
    return {key.name for key in keys}


def test_a_thousand_that_claim_the_same_are_not_compared() -> None:
    held = PortClaims()
    views = [view(f"s{number}") for number in range(1000)]
    for one in views:
        held.note(None, one)
    assert held.take_to_tell() == frozenset()
    assert held.rivals(views[500]) == frozenset()


def test_one_that_claims_differently_concerns_all_when_it_comes_changes_and_goes() -> None:
    held, other, changed = PortClaims(), view("c", TCP), view("c", TCP, number=81)
    for name in "ab":
        held.note(None, view(name))
    held.note(None, other)
    assert names(held.take_to_tell()) == {"a", "b", "c"}
    assert names(held.rivals(other)) == {"a", "b"}
    held.note(other, changed)
    assert names(held.take_to_tell()) == {"a", "b", "c"}
    held.note(changed, None)
    assert names(held.take_to_tell()) == {"a", "b", "c"}
    assert held.rivals(view("a")) == frozenset()
    assert held.take_to_tell() == frozenset()


def test_a_port_that_declares_nothing_or_another_port_claims_nothing_there() -> None:
    held = PortClaims()
    for one in (view("a"), view("b", UNDECLARED), view("c", TCP, target=8081), view("d", TCP, "10.244.0.8")):
        held.note(None, one)
    assert held.take_to_tell() == frozenset()


@pytest.mark.parametrize("seed", range(10))
def test_whatever_comes_and_goes_rivals_are_those_that_a_look_at_everybody_finds(seed: int) -> None:
    rng, held = Random(seed), PortClaims()
    views: dict[str, ServiceView] = {}
    for _ in range(150):
        name = rng.choice("abcdef")
        addresses = [f"10.244.0.{rng.randrange(4)}"]
        new = None if rng.random() < 0.3 else view(name, rng.choice(list(PortProtocol)), *addresses)
        held.note(views.pop(name, None), new)
        if new is not None:
            views[name] = new
        for one in views.values():
            mine = [(place, port.protocol) for place, port in claims(one)]
            kinds = {(place, port.protocol) for other in views.values() for place, port in claims(other)}
            contested = {place for place, mark in mine if any(p == place and m != mark for p, m in kinds)}
            expected = {
                other.service.key
                for other in views.values()
                if other is not one and any(place in contested for place, _ in claims(other))
            }
            assert held.rivals(one) == expected
