"""The agent's life: first certificate, renewals, failures, expiry. Time is moved by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from certs.bundle import TrustBundle
from certs.csr import parse_csr
from meshproxy.identity.agent import RETRY, AgentSettings, IdentityAgent
from meshproxy.identity.contexts import client_context, server_context
from meshproxy.identity.identity import Identity
from tests.unit.meshproxy.identity.mesh import (
    UNREACHABLE,
    WEB,
    LocalKeys,
    LocalSigner,
    ManualTime,
    new_authority,
)

LIFE = 3600.0


class World:
    """One agent with its files, clock and control plane."""

    def __init__(self, directory: Path) -> None:
        self.clock = ManualTime()
        self.signer = LocalSigner(new_authority(self.clock.now), self.clock, ttl=LIFE)
        self.token_file = directory / "token"
        self.root_file = directory / "root-cert.pem"
        self.token_file.write_text("first-token\n")
        self.root_file.write_bytes(TrustBundle((self.signer.authority.root,)).pem)
        self.agent = IdentityAgent(
            AgentSettings(WEB, self.token_file, self.root_file),
            self.signer,
            clock=self.clock,
            rng=Random(3),
            sleep=self.clock.sleep,
            keys=LocalKeys,
        )
        self.published: list[Identity] = []
        self.agent.on_change(self.published.append)

    def replace(self, name: str, content: bytes) -> Path:
        path = {"token_file": self.token_file, "root_file": self.root_file}[name]
        path.write_bytes(content)
        return path

    async def start(self) -> None:
        self.agent.start()
        await self.clock.settle()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.agent.close()


async def test_the_first_certificate_comes_by_token(world: World) -> None:
    await world.start()
    identity = await world.agent.wait_ready()
    assert world.signer.tokens == ["first-token"]
    assert world.published == [identity] == [world.agent.current]
    assert identity.spiffe_id == WEB
    assert (world.agent.counters.bootstraps, world.agent.counters.renewals) == (1, 0)


async def test_renewal_comes_at_half_of_life_by_the_current_certificate(world: World) -> None:
    await world.start()
    await world.clock.advance(0.44 * LIFE)
    assert world.signer.renewed_with == []
    await world.clock.advance(0.12 * LIFE)
    assert world.signer.renewed_with == [1]
    assert world.signer.tokens == ["first-token"]
    assert [identity.generation for identity in world.published] == [1, 2]
    assert world.agent.current is world.published[-1]
    assert world.agent.counters.renewals == 1


async def test_each_certificate_has_a_key_of_its_own(world: World) -> None:
    await world.start()
    await world.clock.advance(LIFE)
    keys = [identity.key_pem for identity in world.published]
    assert len(keys) >= 2
    assert len(set(keys)) == len(keys)
    for csr in world.signer.csrs:
        assert b"PRIVATE" not in csr
        assert parse_csr(csr).spiffe_id == WEB


async def test_a_certificate_of_ten_seconds_is_renewed_again_and_again_in_time(world: World) -> None:
    world.signer.ttl = 10.0
    await world.start()
    for _ in range(120):
        await world.clock.advance(0.5)
        assert world.agent.current is not None
        assert world.agent.current.is_valid(world.clock.now)
    assert world.agent.counters.renewals >= 10
    assert world.signer.tokens == ["first-token"]


async def test_contexts_belong_to_one_certificate(world: World) -> None:
    await world.start()
    await world.clock.advance(0.6 * LIFE)
    old, new = world.published
    assert client_context(old, alpn=()) is not client_context(new, alpn=())
    assert server_context(new, require_client_certificate=True, alpn=()) is server_context(
        new, require_client_certificate=True, alpn=()
    )


async def test_while_the_control_plane_is_away_the_last_good_certificate_stays(world: World) -> None:
    await world.start()
    world.signer.failure = UNREACHABLE
    await world.clock.advance(0.9 * LIFE)
    assert world.published == [world.agent.current]
    assert world.agent.counters.failures > 1
    assert world.agent.last_error == "control plane is away"
    world.signer.failure = None
    await world.clock.advance(RETRY.cap)
    assert world.agent.counters.renewals == 1
    assert world.agent.last_error == ""


async def test_retries_are_jittered_grow_and_are_capped(world: World) -> None:
    world.signer.failure = UNREACHABLE
    await world.start()
    waits = []
    for _ in range(200):
        [(wake_at, _)] = world.clock.sleeping
        waits.append(wake_at - world.clock.now)
        await world.clock.advance(wake_at - world.clock.now)
    assert max(waits[:3]) < 1.0
    assert 0.9 * RETRY.cap < max(waits) <= RETRY.cap
    assert len(set(waits)) == len(waits)
    assert world.agent.counters.failures == 201


async def test_shortly_before_the_end_retries_come_closer(world: World) -> None:
    world.signer.ttl = 12.0
    await world.start()
    world.signer.failure = UNREACHABLE
    while world.clock.now < world.published[0].not_after - 1.5:
        [(wake_at, _)] = world.clock.sleeping
        if world.agent.counters.failures:
            remaining = world.published[0].not_after - world.clock.now
            assert wake_at - world.clock.now <= remaining / 4 + 1e-6
        await world.clock.advance(wake_at - world.clock.now)


async def test_after_expiry_the_token_file_is_read_again(world: World) -> None:
    await world.start()
    world.signer.failure = UNREACHABLE
    await world.clock.advance(LIFE)
    world.token_file.write_text("second-token")
    world.signer.failure = None
    await world.clock.advance(2 * RETRY.cap)
    assert world.signer.tokens[0] == "first-token"
    assert world.signer.tokens[-1] == "second-token"
    assert world.agent.counters.bootstraps == 2
    assert [identity.generation for identity in world.published] == [1, 2]


async def test_files_that_come_late_are_waited_for(world: World) -> None:
    world.token_file.unlink()
    await world.start()
    assert world.agent.current is None
    assert str(world.token_file) in world.agent.last_error
    world.token_file.write_text("late-token")
    await world.clock.advance(RETRY.cap)
    assert world.signer.tokens == ["late-token"]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("token_file", b"", "is empty"),
        ("token_file", b"\xff", "not ASCII"),
        ("token_file", b"x" * 9000, "more than"),
        ("root_file", b"\n", "is empty"),
        ("root_file", b"rubbish", "no readable PEM"),
    ],
)
async def test_unusable_files_are_named(world: World, name: str, content: bytes, complaint: str) -> None:
    path = world.replace(name, content)
    await world.start()
    assert world.agent.current is None
    assert str(path) in world.agent.last_error
    assert complaint in world.agent.last_error


async def test_a_new_trust_bundle_is_taken_at_the_next_renewal(world: World) -> None:
    await world.start()
    other = new_authority(world.clock.now)
    world.root_file.write_bytes(TrustBundle((world.signer.authority.root, other.root)).pem)
    await world.clock.advance(0.6 * LIFE)
    assert world.published[0].root_pem.count(b"BEGIN") == 1
    assert world.published[1].root_pem.count(b"BEGIN") == 2


async def test_a_trust_bundle_that_became_unusable_does_not_stop_renewal(world: World) -> None:
    await world.start()
    world.root_file.unlink()
    await world.clock.advance(0.6 * LIFE)
    assert world.published[1].root_pem == world.published[0].root_pem


async def test_a_certificate_from_another_ca_is_not_published(world: World) -> None:
    await world.start()
    world.signer.authority = new_authority(world.clock.now)
    await world.clock.advance(0.6 * LIFE)
    assert len(world.published) == 1
    assert "does not lead" in world.agent.last_error


async def test_an_unexpected_failure_does_not_end_renewal(world: World) -> None:
    world.signer.failure = RuntimeError("bug")
    await world.start()
    assert world.agent.last_error == "unexpected RuntimeError"
    world.signer.failure = None
    await world.clock.advance(RETRY.cap)
    assert world.agent.current is not None


async def test_a_listener_that_fails_does_not_stop_the_others(world: World) -> None:
    later: list[Identity] = []

    def broken(_: Identity) -> None:
        raise RuntimeError("bug")

    world.agent.on_change(broken)
    world.agent.on_change(later.append)
    await world.start()
    await world.clock.advance(0.6 * LIFE)
    assert len(later) == 2


async def test_a_clock_that_jumps_ahead_brings_renewal_soon(world: World) -> None:
    await world.start()
    world.clock.now += 0.7 * LIFE  # the machine slept: monotonic sleeps did not notice
    await world.clock.advance(31)
    assert world.agent.counters.renewals == 1


async def test_closing_stops_renewal_and_keeps_the_identity(world: World) -> None:
    await world.start()
    await world.agent.close()
    await world.agent.close()
    await world.clock.advance(LIFE)
    assert world.signer.renewed_with == []
    assert world.agent.current is world.published[0]
