"""What a check could not measure is a finding that did not hold, never a traceback or a silent success."""

import asyncio

import pytest

from control_plane.client import ApiError
from meshctl.demo import scenario
from meshctl.demo.finding import Finding
from meshctl.demo.mesh import DemoError


async def broken(error: Exception) -> list[Finding]:
    raise error


@pytest.mark.parametrize(
    "error", [DemoError("pod gone"), ApiError(500, "Oops", "pod gone"), OSError("pod gone")]
)
async def test_a_check_that_could_not_measure_did_not_hold(error: Exception):
    (finding,) = await scenario._guarded("check", broken(error))
    assert not finding.held
    assert "pod gone" in finding.measured[0]


async def test_a_check_that_takes_too_long_did_not_hold(monkeypatch: pytest.MonkeyPatch):
    async def endless() -> list[Finding]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(scenario, "_CHECK_TIMEOUT", 0.01)
    (finding,) = await scenario._guarded("check", endless())
    assert not finding.held


def test_the_examples_are_found_and_valid():
    kinds = {str(entry.manifest["kind"]) for entry in scenario.manifests()}
    assert {"Namespace", "ServiceAccount", "Service", "Deployment", "Pod"} <= kinds


def test_without_the_examples_the_demo_says_what_it_needs(tmp_path):
    with pytest.raises(DemoError, match="from a clone of the repository"):
        scenario.manifests(tmp_path)
