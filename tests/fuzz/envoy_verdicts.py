"""Asks stock Envoy about every case of the corpus and writes its verdicts down.

Run `python -m tests.fuzz.envoy_verdicts` after adding cases or changing the version of Envoy, and read the
diff. What `ours` says is written by hand.
"""

from __future__ import annotations

import asyncio

from tests.fuzz import cases
from tests.fuzz.envoy import running_envoy, version
from tests.fuzz.lane import Lane, run_all

_LANES = 8
_QUIET = 2.0


async def main() -> None:
    verdicts = cases.load_verdicts()
    verdicts["envoy_version"] = version()
    known = verdicts["cases"]

    async def judge(lane: Lane, case: str, data: bytes) -> None:
        known.setdefault(case, {})["envoy"] = await lane.run(case, data)

    corpus = cases.load("request") | cases.load("response")
    async with running_envoy(_LANES, _QUIET) as lanes:
        await run_all(lanes, corpus, judge)
    verdicts["cases"] = {case: known[case] for case in sorted(corpus)}
    cases.VERDICTS.write_text(cases.dump(verdicts))


if __name__ == "__main__":
    asyncio.run(main())
