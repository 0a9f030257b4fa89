"""The result file: flat keys, a round trip, and refusal of what it is not."""

from __future__ import annotations

import json

import pytest

from bench.result import Measurement, Outcome, Report, ResultError, Side


def outcome() -> Outcome:
    one = Measurement("work", "case", Side.ENVOY.value, "rate", "requests/s", (1.0, 2.5))
    return Outcome([one], {"http1_one_hop": 1.23456}, {"rss_mb_100_services": 51.0}, ["noisy"])


def test_ratios_and_figures_are_flat_numbers():
    report = Report({"kernel": "6.1"})
    report.add(outcome())
    document = json.loads(report.to_json())
    assert document["ratios"] == {"http1_one_hop": 1.235}
    assert document["figures"] == {"rss_mb_100_services": 51.0}
    assert document["measurements"][0]["samples"] == [1.0, 2.5]


def test_what_is_written_can_be_read():
    report = Report({"kernel": "6.1"})
    report.add(outcome())
    again = Report.from_json(report.to_json())
    assert again.to_json() == report.to_json()
    assert again.measurements == report.measurements
    assert again.notes == ["noisy"]


def test_two_workloads_cannot_hand_in_the_same_key():
    report = Report({})
    report.add(outcome())
    with pytest.raises(ValueError, match="http1_one_hop"):
        report.add(outcome())


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 0}', '{"schema": 1, "ratios": {}}', '{"schema": 1, "conditions": 3}']
)
def test_another_file_is_refused(text):
    with pytest.raises(ResultError):
        Report.from_json(text)


def test_samples_are_found_by_case_side_and_metric():
    found = outcome()
    assert found.samples("case", Side.ENVOY, "rate") == (1.0, 2.5)
    with pytest.raises(KeyError, match="rate of meshproxy"):
        found.samples("case", Side.MESHPROXY, "rate")
