"""Every case of `tests/fuzz/corpus/http1`: taken or refused as `verdicts.json` says, however it is cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshproxy.http.codec import scan_codec
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits
from tests.fuzz import cases
from tests.fuzz.reading import Reading, pieces, read_requests, read_response

VERDICTS = cases.load_verdicts()["cases"]
CORPUS = cases.load("request") | cases.load("response")
WHOLE = 1_000_000
BYTE_BY_BYTE = 2500
"""Longer cases are not cut into single bytes: they test limits, and would take seconds."""


def read(codec, case, size) -> Reading:
    parts = pieces(CORPUS[case], size)
    if case.startswith("request/"):
        return read_requests(codec, parts)
    return read_response(codec, cases.method_of(case), parts)


@pytest.mark.parametrize("case", CORPUS)
def test_case(codec, case):
    expected = VERDICTS[case]["ours"]
    for _ in range(3):
        whole = read(codec, case, WHOLE)
        assert (whole.messages, whole.status, whole.reason) == (
            expected["messages"],
            expected.get("status", 0),
            expected.get("reason", ""),
        )
        for size in (1, 7) if len(CORPUS[case]) < BYTE_BY_BYTE else (997,):
            parts = read(codec, case, size)
            assert parts.status == whole.status
            assert parts.complete[: len(whole.complete)] == whole.complete
            if not whole.is_refused:
                assert parts == whole


@pytest.mark.parametrize("case", [case for case, verdict in VERDICTS.items() if "reason" in verdict["ours"]])
def test_nothing_refused_is_remembered(case):
    memory = HeadMemory()
    codec = scan_codec(memory, HeadLimits())
    for size in (WHOLE, 7 if len(CORPUS[case]) < BYTE_BY_BYTE else 997, WHOLE):
        read(codec, case, size)
    assert memory.requests(HeadLimits()).memory.size <= 1  # a good request may stand before the refused one
    assert memory.responses(HeadLimits()).memory.size <= 1


def test_every_case_has_its_verdicts_and_every_verdict_its_case():
    assert set(VERDICTS) == set(CORPUS)
    assert all({"ours", "envoy"} <= set(verdict) for verdict in VERDICTS.values())


def test_every_exception_is_told():
    told = (Path(__file__).parents[5] / "docs" / "http1.md").read_text()
    for case, verdict in VERDICTS.items():
        assert "exception" not in verdict or f"`{case}`" in told, case
