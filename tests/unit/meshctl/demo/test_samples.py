"""Prometheus text is read as it is written, and summed by labels."""

import pytest

from meshctl.demo.samples import Samples

TEXT = """\
# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{code="200",version="v1"} 7
requests_total{code="200",version="v2"} 2 1700000000000
requests_total{code="404",version="v1"} 1
requests_total{code="500",version="v1"} 0
memory_bytes 1.5e+06
odd{text="a \\"b\\" \\\\ c\\nd"} 3
"""


def test_sums_the_series_that_have_the_labels():
    samples = Samples(TEXT)
    assert samples.total("requests_total") == 10
    assert samples.total("requests_total", code="200") == 9
    assert samples.total("requests_total", code="200", version="v2") == 2
    assert samples.total("memory_bytes") == 1_500_000
    assert samples.total("absent") == 0


def test_groups_by_label_values_and_leaves_zero_out():
    by_code = Samples(TEXT).grouped("requests_total", "code", version="v1")
    assert by_code == {("200",): 7, ("404",): 1}


def test_a_missing_label_is_an_empty_value():
    assert Samples(TEXT).grouped("memory_bytes", "code") == {("",): 1_500_000}


def test_label_values_are_unescaped():
    assert Samples(TEXT).total("odd", text='a "b" \\ c\nd') == 3


def test_what_is_not_prometheus_text_is_refused():
    with pytest.raises(ValueError, match="not a line of Prometheus text: 'hello'"):
        Samples("hello\n")
