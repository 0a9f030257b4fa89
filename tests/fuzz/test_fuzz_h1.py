"""The fuzz targets for a few seconds, the same inputs every time."""

from itertools import islice

import pytest

from tests.fuzz.fuzz_h1 import fuzz, fuzz_scan, fuzz_strict, inputs

INPUTS = 6000


@pytest.mark.parametrize("target", [fuzz_scan, fuzz_strict])
def test_nothing_is_found(target):
    assert fuzz(target, islice(inputs(seed=7), INPUTS), seed=7) == INPUTS


def test_a_finding_names_its_input():
    def broken(kind, data, warm, rng):
        assert b"\x00" not in data

    with pytest.raises(AssertionError) as caught:
        fuzz(broken, inputs(seed=7), seed=7)
    assert "seed 7" in caught.value.__notes__[0]


def test_inputs_are_the_same_for_the_same_seed():
    assert list(islice(inputs(3), 500)) == list(islice(inputs(3), 500))
