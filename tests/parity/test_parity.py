"""Every case on both data planes: as expected on ours, and the same on both or docs/parity.md says why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.parity import document
from tests.parity.case import Addresses, Case
from tests.parity.comparison import Verdict, compare
from tests.parity.plane import DATA_PLANES, Plane, running_plane
from tests.parity.suite import CASES

ALLOWED = document.allowed(document.PATH.read_text())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planes() -> AsyncIterator[Mapping[str, Plane]]:
    async with AsyncExitStack() as stack:
        started = await asyncio.gather(
            *(stack.enter_async_context(running_plane(name)) for name in DATA_PLANES)
        )
        yield dict(zip(DATA_PLANES, started, strict=True))


@pytest.fixture(scope="module")
def addresses() -> Addresses:
    return Addresses()


@pytest.mark.privileged
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_case(
    case: Case,
    planes: Mapping[str, Plane],
    addresses: Addresses,
    verdicts: dict[str, Verdict],
) -> None:
    verdict = verdicts[case.name] = await compare(case, planes, addresses, ALLOWED)
    if report := verdict.report():
        pytest.fail(report, pytrace=False)
    is_explained = case.name in ALLOWED.cases
    assert bool(verdict.differences) is is_explained, "docs/parity.md explains a difference that is not there"


def test_every_case_that_is_explained_is_there() -> None:
    assert ALLOWED.cases.keys() - {case.name for case in CASES} == set()
