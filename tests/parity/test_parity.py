"""Every case on both data planes: as expected on ours, and the same on both or docs/parity.md says why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import pytest_asyncio

from tests.parity import document
from tests.parity.case import Addresses, Case
from tests.parity.comparison import Verdict, compare
from tests.parity.plane import DATA_PLANES, Plane, running_plane
from tests.parity.suite import CASES

ALLOWED = document.allowed(document.PATH.read_text())


Planes = Mapping[str, Plane]
Verdicts = dict[str, Verdict]


@asynccontextmanager
async def _planes(*, is_gateway: bool) -> AsyncIterator[Planes]:
    async with AsyncExitStack() as stack:
        starting = (running_plane(name, is_gateway=is_gateway) for name in DATA_PLANES)
        started = await asyncio.gather(*map(stack.enter_async_context, starting))
        yield dict(zip(DATA_PLANES, started, strict=True))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sidecars() -> AsyncIterator[Planes]:
    async with _planes(is_gateway=False) as planes:
        yield planes


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateways() -> AsyncIterator[Planes]:
    async with _planes(is_gateway=True) as planes:
        yield planes


@pytest.fixture(scope="module")
def addresses() -> Addresses:
    return Addresses()


@pytest.mark.privileged
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", [case for case in CASES if not case.at_gateway], ids=lambda case: case.name)
async def test_case(case: Case, sidecars: Planes, addresses: Addresses, verdicts: Verdicts) -> None:
    await _judge(case, sidecars, addresses, verdicts)


@pytest.mark.privileged
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", [case for case in CASES if case.at_gateway], ids=lambda case: case.name)
async def test_case_at_a_gateway(
    case: Case, gateways: Planes, addresses: Addresses, verdicts: Verdicts
) -> None:
    await _judge(case, gateways, addresses, verdicts)


async def _judge(case: Case, planes: Planes, addresses: Addresses, verdicts: Verdicts) -> None:
    verdict = verdicts[case.name] = await compare(case, planes, addresses, ALLOWED)
    if report := verdict.report():
        pytest.fail(report, pytrace=False)
    is_explained = case.name in ALLOWED.cases
    assert bool(verdict.differences) is is_explained, "docs/parity.md explains a difference that is not there"


def test_every_case_that_is_explained_is_there() -> None:
    assert ALLOWED.cases.keys() - {case.name for case in CASES} == set()
