"""The HTTP/1.1 corpus through a running Envoy and through this proxy, side by side.

Whatever Envoy refuses, we refuse, or `verdicts.json` and `docs/http1.md` say why not. No upstream behind us
sees a request that was not taken, nor more of them than one behind Envoy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from meshproxy.config.model import Endpoint
from meshproxy.config.route import WeightedCluster
from tests.fuzz import cases
from tests.fuzz.cases import CaseVerdicts, EnvoyVerdict
from tests.fuzz.envoy import running_envoy, version
from tests.fuzz.lane import Lane, Upstream, run_all
from tests.unit.meshproxy.proxy.harness import http_listener, running, snapshot, static_cluster

LANES = 12
QUIET = 0.3
VERDICTS = cases.load_verdicts()
NO_ANSWER_OF_AN_UPSTREAM = {502, 503, 504}


@asynccontextmanager
async def running_ours(lanes: int, quiet: float) -> AsyncIterator[list[Lane]]:
    async with AsyncExitStack() as stack:
        started = []
        for _ in range(lanes):
            upstream = await Upstream().start()
            stack.push_async_callback(upstream.stop)
            from_config = snapshot(
                http_listener(WeightedCluster("a", 1), codec="HTTP1"),
                static_cluster("a", Endpoint("127.0.0.1", upstream.port)),
            )
            mesh = await stack.enter_async_context(running(from_config))
            started.append(Lane(mesh.port, upstream, quiet))
        yield started


def refuses(case: str, verdict: EnvoyVerdict) -> bool:
    """Whether a proxy refused any of a case: the last of several requests, or the response."""
    if case.startswith("request/"):
        return not verdict["statuses"] or verdict["statuses"][-1] >= 400
    return verdict["status"] in NO_ANSWER_OF_AN_UPSTREAM or not (
        verdict["complete"] or verdict["status"] == 101
    )


def wrongs_of_envoy(case: str, now: EnvoyVerdict) -> list[str]:
    known = VERDICTS["cases"][case]
    wrong = []
    if now != known["envoy"]:
        wrong.append(f"{case}: Envoy said {now}, recorded is {known['envoy']}")
    if refuses(case, now) and "reason" not in known["ours"] and "exception" not in known:
        wrong.append(f"{case}: refused by Envoy ({now}), taken by us, and no exception says why")
    return wrong


def wrongs_of_ours(case: str, now: EnvoyVerdict) -> list[str]:
    known = VERDICTS["cases"][case]
    ours = known["ours"]
    wrong = []
    if "reason" in ours and not refuses(case, now) and not ours["reason"].startswith("eof_"):
        wrong.append(f"{case}: the codec refuses it, the proxy took it: {now}")
    if case.startswith("request/"):
        wrong += wrongs_of_requests(case, now, known)
    return wrong


def wrongs_of_requests(case: str, now: EnvoyVerdict, known: CaseVerdicts) -> list[str]:
    ours = known["ours"]
    wrong = []
    if now["requests"] > ours["messages"]:
        wrong.append(f"{case}: the upstream saw {now['requests']} requests, {ours['messages']} were taken")
    if "exception" not in known and now["requests"] > known["envoy"]["requests"]:
        wrong.append(f"{case}: more requests than Envoy let through: {now}, {known['envoy']}")
    if (
        ours.get("status")
        and not ours["reason"].startswith("eof_")
        and now["statuses"][-1:] != [ours["status"]]
    ):
        wrong.append(f"{case}: the client was told {now['statuses']}, not {ours['status']}")
    return wrong


async def test_envoys_verdicts_are_as_recorded_and_not_stricter_than_ours() -> None:
    measured = VERDICTS["envoy_version"]
    assert version() == measured, "another Envoy: run python -m tests.fuzz.envoy_verdicts and read the diff"
    wrong: list[str] = []

    async def judge(lane: Lane, case: str, data: bytes) -> None:
        wrong.extend(wrongs_of_envoy(case, await lane.run(case, data, VERDICTS["cases"][case]["envoy"])))

    async with running_envoy(LANES, QUIET) as lanes:
        await run_all(lanes, cases.load("request") | cases.load("response"), judge)
    assert not wrong, "\n".join(wrong)


async def test_nothing_refused_passes_this_proxy() -> None:
    wrong: list[str] = []

    async def judge(lane: Lane, case: str, data: bytes) -> None:
        wrong.extend(wrongs_of_ours(case, await lane.run(case, data)))

    async with running_ours(LANES, QUIET) as lanes:
        await run_all(lanes, cases.load("request") | cases.load("response"), judge)
    assert not wrong, "\n".join(wrong)
