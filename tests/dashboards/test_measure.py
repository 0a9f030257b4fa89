"""When a panel agrees with what is known."""

import math

from tests.dashboards.measure import NOTHING, compare, exactly, labels, near, of_quantile, only


def test_limits():
    assert near(100, 0.05).agrees(104)
    assert not near(100, 0.05).agrees(106)
    assert near(0, 0.05, 0.1).agrees(0.1)
    assert not exactly(7).agrees(7.001)


def test_a_panel_is_right_when_every_series_is():
    expected = {labels(code="200"): near(10, 0.1), labels(code="404"): near(1, 0.1)}
    right = {labels(code="200"): 10.5, labels(code="404"): 1.0, labels(code="500"): 0.0}
    assert compare(expected, right).wrong == ()
    wrong = compare(expected, {labels(code="200"): 12.0, labels(code="500"): 1.0}).wrong
    assert wrong == (
        "code=200: shows 12, should be 9 to 11",
        "code=404: is missing, should be 0.9 to 1.1",
        "code=500: shows 1, and should not be there",
    )


def test_a_panel_without_a_number_is_empty():
    assert compare(only(exactly(1)), {}).is_empty
    assert compare(only(exactly(1)), {frozenset(): math.nan}).is_empty
    assert compare(NOTHING, {}).is_empty
    assert not compare(NOTHING, {frozenset(): 0.0}).wrong
    assert compare(NOTHING, {frozenset(): 1.0}).wrong == ("the value: shows 1, and should not be there",)


def test_a_quantile_is_known_to_a_bucket():
    slow = of_quantile([2.0] * 96 + [130.0] * 4, 0.99)
    assert (slow.low, slow.high) == (25.0, 250.0)
    perhaps_slow = of_quantile([2.0] * 98 + [130.0] * 2, 0.99)
    assert (perhaps_slow.low, perhaps_slow.high) == (0.5, 250.0)
    middle = of_quantile([2.0] * 98 + [130.0] * 2, 0.5)
    assert (middle.low, middle.high) == (0.5, 5.0)
    assert of_quantile([2.0], 0.5, least=False).low == 0.0
