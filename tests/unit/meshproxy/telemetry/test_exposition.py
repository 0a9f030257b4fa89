"""Prometheus text format, with prometheus_client's parser as the oracle."""

from math import inf, isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from meshproxy.telemetry.exposition import header, histogram, label_text, number, sample, slices
from meshproxy.telemetry.names import HISTOGRAM_BOUNDS, MetricFamily, MetricKind


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12, "12"),
        (12.0, "12"),
        (0.5, "0.5"),
        (1e22, "1e+22"),
        (inf, "+Inf"),
        (-inf, "-Inf"),
        (nan, "NaN"),
        (-3.25, "-3.25"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(allow_nan=True))
def test_numbers_read_back_equal(value: float) -> None:
    assert float(number(value)) == value or isnan(value)


def test_header_escapes_the_help_text() -> None:
    family = MetricFamily("m", MetricKind.GAUGE, 'a\\b\n"c"')
    assert header(family) == '# HELP m a\\\\b\\n"c"\n# TYPE m gauge\n'


def test_no_labels_no_braces() -> None:
    assert sample("m", label_text((), ()), 1) == "m 1\n"


def test_as_many_values_as_names() -> None:
    with pytest.raises(ValueError, match="zip"):
        label_text(("a", "b"), ("1",))


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]), st.text(st.characters(exclude_categories=["Cs"])), max_size=3
    )
)
def test_label_values_survive_the_parser(labels: dict[str, str]) -> None:
    text = header(MetricFamily("m", MetricKind.GAUGE, "h")) + sample(
        "m", label_text(list(labels), list(labels.values())), 7
    )
    (family,) = text_string_to_metric_families(text)
    assert [(entry.labels, entry.value) for entry in family.samples] == [(labels, 7.0)]


@pytest.mark.parametrize("labels", ["", 'a="b"'])
def test_histogram_is_cumulative_with_sum_and_count(labels: str) -> None:
    buckets = [0] * (len(HISTOGRAM_BOUNDS) + 1)
    buckets[0], buckets[2], buckets[-1] = 2, 3, 1
    text = header(MetricFamily("m", MetricKind.HISTOGRAM, "h")) + histogram("m", labels, buckets, 4.5)
    (family,) = text_string_to_metric_families(text)
    values = {(entry.name, entry.labels.get("le")): entry.value for entry in family.samples}
    assert values["m_bucket", "0.5"] == 2
    assert values["m_bucket", "1"] == 2
    assert values["m_bucket", "5"] == 5
    assert values["m_bucket", "3600000"] == 5
    assert values["m_bucket", "+Inf"] == values["m_count", None] == 6
    assert values["m_sum", None] == 4.5
    assert len(values) == len(buckets) + 2


def test_slices_are_bounded_below_and_complete() -> None:
    assert list(slices(["ab", "c", "defg", "h"], 3)) == ["abc", "defg", "h"]
    assert list(slices(["abc"], 3)) == ["abc"]
    assert list(slices([], 3)) == []
