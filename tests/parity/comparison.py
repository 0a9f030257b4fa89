"""One case on both data planes, and what was different (pure but for `run`)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from control_plane.client import ApiError
from tests.parity.case import Addresses, Case
from tests.parity.document import Allowed
from tests.parity.plane import DATA_PLANES, CaseBench, Plane, PlaneError
from tests.parity.step import Result


@dataclass(frozen=True)
class Verdict:
    """Of one case."""

    ours: tuple[str, ...]
    """What was not as expected on our data plane: nothing explains that."""
    differences: tuple[str, ...]
    """Where the data planes differ, or Envoy does not do what is expected."""
    unexplained: tuple[str, ...]
    """Those of `differences` that docs/parity.md says nothing of."""

    def report(self) -> str:
        """Why the case fails; empty when it does not."""
        lines = [*(f"ours: {one}" for one in self.ours), *self.unexplained]
        return "\n".join(lines)


async def compare(case: Case, planes: Mapping[str, Plane], addresses: Addresses, allowed: Allowed) -> Verdict:
    placed, vips = addresses.place(case), addresses.vips(case)
    benches = [CaseBench(planes[name], case, placed, vips) for name in DATA_PLANES]
    ours, envoys = await asyncio.gather(*(_run(case, bench) for bench in benches))
    differences = [
        f"step {number}: {difference}"
        for number, (one, other) in enumerate(zip(ours, envoys, strict=False))
        for difference in _differences(visible(one.facts, allowed), visible(other.facts, allowed))
    ]
    differences += [f"Envoy: {one}" for one in _wrong(envoys)]
    unexplained = tuple(one for one in differences if not allowed.explains(case.name, one))
    return Verdict(_wrong(ours), tuple(differences), unexplained)


async def _run(case: Case, bench: CaseBench) -> Sequence[Result]:
    results = []
    try:
        async with bench:
            for step in case.steps:
                results.append(await step.run(bench))
    except (PlaneError, ApiError, TimeoutError, OSError) as error:
        results.append(Result(wrong=[f"{type(error).__name__}: {error}"]))
    return results


def _wrong(results: Sequence[Result]) -> tuple[str, ...]:
    return tuple(f"step {number}: {one}" for number, result in enumerate(results) for one in result.wrong)


def visible(facts: object, allowed: Allowed, hidden: frozenset[str] | None = None) -> object:
    """`facts` without the headers that may differ."""
    hidden = allowed.response_headers if hidden is None else hidden
    if isinstance(facts, dict):
        return {
            key: _shown(value, hidden)
            if key == "headers"
            else visible(value, allowed, allowed.request_headers if key == "forwarded" else hidden)
            for key, value in facts.items()
        }
    if isinstance(facts, list):
        return [visible(one, allowed, hidden) for one in facts]
    return facts


def _shown(headers: object, hidden: frozenset[str]) -> object:
    assert isinstance(headers, Mapping)
    return {name: value for name, value in headers.items() if name not in hidden}


def _differences(ours: object, envoys: object, place: str = "") -> list[str]:
    if isinstance(ours, dict) and isinstance(envoys, dict):
        return [
            difference
            for key in sorted(ours.keys() | envoys.keys())
            for difference in _differences(ours.get(key), envoys.get(key), f"{place}.{key}" if place else key)
        ]
    if isinstance(ours, list) and isinstance(envoys, list) and len(ours) == len(envoys):
        return [
            difference
            for number, (one, other) in enumerate(zip(ours, envoys, strict=True))
            for difference in _differences(one, other, f"{place}[{number}]")
        ]
    return [] if ours == envoys else [f"{place}: ours {ours!r}, Envoy {envoys!r}"]
