"""Clusters whose endpoints are names: looked up again and again, the last good answer holds."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace as changed

import pytest

from meshproxy.config.dns import DnsSettings, LookupFamily
from meshproxy.config.model import Cluster, ClusterType, Endpoint
from meshproxy.config.route import WeightedCluster
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.proxy import worker
from meshproxy.upstream.lookup import look_up, of_family
from tests.unit.meshproxy.proxy.harness import Mesh, http_listener, running, snapshot
from tests.unit.meshproxy.proxy.sleeper import Sleeper
from tests.unit.meshproxy.proxy.test_outlier import Answers, serving, statuses

A = WeightedCluster("a", 1)
V4 = DnsSettings(family=LookupFamily.V4_PREFERRED)


class Names:
    """A resolver: `answers[name]` is what it finds; None fails."""

    def __init__(self, **answers: list[str] | None) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def look_up(self, name: str) -> list[str]:
        self.asked.append(name)
        found = self.answers.get(name)
        if found is None:
            raise socket.gaierror(-2, "Name or service not known")
        return found


def config(port: int, *names: str, dns: DnsSettings = V4, **changes: object) -> ConfigSnapshot:
    endpoints = tuple(Endpoint(name, port) for name in names)
    cluster = Cluster("a", ClusterType.DNS, endpoints=endpoints, dns=dns, **changes)  # type: ignore[arg-type]
    return snapshot(http_listener(A), cluster)


def addresses(mesh: Mesh) -> list[str]:
    return [one.endpoint.address for one in mesh.live.clusters["a"].endpoints]


async def test_requests_go_to_the_addresses_of_a_name() -> None:
    app, names, sleeper = Answers(), Names(api=["127.0.0.1"]), Sleeper()
    async with serving(app.handle) as upstreams:
        config_ = config(upstreams[0].port, "api")
        async with running(config_, look_up=names.look_up, sleep=sleeper.sleep) as mesh:
            [pause] = await sleeper.asleep(1)
            assert 5.0 <= pause <= 5.5
            assert await statuses(mesh, 3) == {200: 3}
            assert mesh.metric("meshproxy_upstream_dns_lookups_total", cluster="a", result="success") == 2


async def test_the_first_request_finds_addresses_already_unless_they_take_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "WARMING_TIMEOUT", 0.05)
    app, names = Answers(), Names(api=["127.0.0.1"])
    never = asyncio.Event()

    async def look_up_slowly(name: str) -> list[str]:
        if name == "slow":
            await never.wait()
        return await names.look_up(name)

    async with serving(app.handle) as upstreams:
        wanted = config(upstreams[0].port, "api", "slow")
        async with running(wanted, look_up=look_up_slowly, sleep=Sleeper().sleep) as mesh:
            assert await statuses(mesh, 1) == {200: 1}


async def test_addresses_come_and_go_and_the_last_good_answer_holds() -> None:
    names, sleeper = Names(api=["10.0.0.2", "10.0.0.1"], more=["10.0.0.2"]), Sleeper()
    wanted = config(80, "api", "more", "10.0.0.9")
    async with running(wanted, look_up=names.look_up, sleep=sleeper.sleep) as mesh:
        await sleeper.asleep(2)
        assert addresses(mesh) == ["10.0.0.1", "10.0.0.2", "10.0.0.9"]
        stays = mesh.live.clusters["a"].endpoints[1]
        names.answers["api"], names.answers["more"] = ["10.0.0.3", "10.0.0.2"], None
        await sleeper.next_round(2)
        assert addresses(mesh) == ["10.0.0.2", "10.0.0.3", "10.0.0.9"]
        assert mesh.live.clusters["a"].endpoints[0] is stays
        names.answers["api"] = []
        await sleeper.next_round(2)
        assert addresses(mesh) == ["10.0.0.2", "10.0.0.3", "10.0.0.9"]
        assert mesh.metric("meshproxy_upstream_dns_lookups_total", result="failure") == 2
        assert mesh.metric("meshproxy_upstream_dns_lookups_total", result="empty") == 1


async def test_a_name_never_found_is_a_cluster_without_endpoints() -> None:
    sleeper = Sleeper()
    async with running(config(80, "api"), look_up=Names().look_up, sleep=sleeper.sleep) as mesh:
        await sleeper.asleep(1)
        assert await statuses(mesh, 1) == {503: 1}
        assert mesh.metric("istio_requests_total", response_flags="UH") == 1


async def test_logical_dns_keeps_one_address_as_long_as_it_is_among_the_answers() -> None:
    names, sleeper = Names(api=["10.0.0.2", "10.0.0.1"]), Sleeper()
    logical = config(80, "api", dns=changed(V4, is_logical=True))
    async with running(logical, look_up=names.look_up, sleep=sleeper.sleep) as mesh:
        await sleeper.asleep(1)
        assert addresses(mesh) == ["10.0.0.2"]
        names.answers["api"] = ["10.0.0.1", "10.0.0.2"]
        await sleeper.next_round(1)
        assert addresses(mesh) == ["10.0.0.2"]
        names.answers["api"] = ["10.0.0.1"]
        await sleeper.next_round(1)
        assert addresses(mesh) == ["10.0.0.1"]


async def test_lookups_follow_the_configuration_and_end_with_the_cluster() -> None:
    names, sleeper = Names(one=["10.0.0.1"], two=["10.0.0.2"]), Sleeper()
    first = config(80, "one")
    async with running(first, look_up=names.look_up, sleep=sleeper.sleep) as mesh:
        await sleeper.asleep(1)
        second = config(80, "two").clusters["a"]
        await mesh.worker.apply(changed(first, clusters={"a": second}))
        async with asyncio.timeout(30):
            while addresses(mesh) != ["10.0.0.2"]:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        assert names.asked == ["one", "one", "two"]  # once before it is in force
        static = changed(second, type=ClusterType.STATIC, dns=None, endpoints=(Endpoint("10.0.0.7", 80),))
        await mesh.worker.apply(changed(first, clusters={"a": static}))
        await asyncio.sleep(0)
        assert addresses(mesh) == ["10.0.0.7"]
        assert await sleeper.asleep(0) == []
        await mesh.worker.apply(first)
        await sleeper.asleep(1)
        await mesh.worker.apply(changed(first, listeners={}, clusters={}))
        await asyncio.sleep(0)
        assert await sleeper.asleep(0) == []


@pytest.mark.parametrize(
    ("family", "both", "only_six"),
    [
        (LookupFamily.AUTO, ["::1"], ["::1"]),
        (LookupFamily.V4_ONLY, ["10.0.0.1"], []),
        (LookupFamily.V6_ONLY, ["::1"], ["::1"]),
        (LookupFamily.V4_PREFERRED, ["10.0.0.1"], ["::1"]),
        (LookupFamily.ALL, ["10.0.0.1", "::1"], ["::1"]),
    ],
)
def test_families(family: LookupFamily, both: list[str], only_six: list[str]) -> None:
    assert of_family(["10.0.0.1", "::1"], family) == both
    assert of_family(["::1"], family) == only_six


async def test_the_machines_resolver() -> None:
    assert "127.0.0.1" in await look_up("127.0.0.1")
