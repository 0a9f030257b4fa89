"""Tables: sides as columns, verdicts against the targets."""

from __future__ import annotations

import pytest

from bench import report
from bench.report import FIGURE_TARGETS, RATIO_TARGETS
from bench.result import Measurement, Report


def measured(**ratios: float) -> Report:
    def rate(side: str, *samples: float) -> Measurement:
        return Measurement("work", "get_64", side, "rate", "requests/s", samples)

    return Report(
        {"kernel": "6.1"},
        [rate("meshproxy", 3000.0, 2000.0, 4000.0), rate("envoy", 1500.0), rate("haproxy", 5000.0)],
        ratios,
        {"start_to_ready_s_500m": 2.0, "added_p99_ms_two_hops_mtls": 1.4},
        ["the machine was noisy"],
    )


def test_a_row_has_every_side_and_the_ratio_to_envoy():
    lines = report.markdown(measured()).splitlines()
    assert "| case | what | unit | meshproxy | envoy | haproxy | ours ÷ Envoy |" in lines
    assert "| get_64 | rate | requests/s | 3,000 (2,000 – 4,000) | 1,500 | 5,000 | 2.00× |" in lines


@pytest.mark.parametrize(
    ("value", "verdict"), [(2.5, "aim reached"), (2.2, "aim reached"), (1.6, "must reached"), (1.4, "missed")]
)
def test_a_rate_must_be_high(value, verdict):
    text = report.markdown(measured(http1_one_hop=value))
    assert f"| one hop, worst small shape | {value:.3g}× | ≥ 1.5× | ≥ 2.2× | {verdict} |" in text


@pytest.mark.parametrize(("value", "verdict"), [(0.5, "aim reached"), (0.9, "must reached"), (1.1, "missed")])
def test_a_cost_must_be_low(value, verdict):
    text = report.markdown(measured(cpu_ms_per_request_1000rps=value))
    assert f"| {value:.3g}× | ≤ 1× | ≤ 0.6× | {verdict} |" in text


def test_an_aim_without_a_must_can_be_missed_in_silence():
    assert "(ms) | 1.4 |  | ≤ 1 |  |" in report.markdown(measured())


def test_what_was_not_measured_is_not_judged():
    assert "new mTLS" not in report.terminal(measured())


def test_the_terminal_shows_the_same():
    text = report.terminal(measured(http1_one_hop=1.6))
    assert "3,000 (2,000 – 4,000)" in text
    assert "must reached" in text
    assert "note: the machine was noisy" in text


def test_notes_keys_and_conditions_are_in_the_page():
    text = report.markdown(measured(http1_one_hop=1.6))
    assert "- the machine was noisy" in text
    assert "| `http1_one_hop` | 1.6 |" in text
    assert "| kernel | 6.1 |" in text


def test_targets_have_keys_of_their_own():
    keys = [target.key for target in (*RATIO_TARGETS, *FIGURE_TARGETS)]
    assert len(keys) == len(set(keys))


def test_shares_and_idle_envoys_have_no_ratio():
    busy = [Measurement("w", "c", side, "busy", "share", (0.5,)) for side in ("meshproxy", "envoy")]
    idle = [Measurement("w", "c", side, "p99", "ms", (0.0,)) for side in ("meshproxy", "envoy")]
    text = report.markdown(Report({}, [*busy, *idle]))
    assert "×" not in text.partition("## w")[2].partition("##")[0]
