"""A short run of the HTTP/2 target; longer ones by hand."""

from random import Random

import pytest

from tests.fuzz.fuzz_h2 import fuzz_session


@pytest.mark.parametrize("seed", range(0, 3000, 500))
def test_conversations(seed: int) -> None:
    for number in range(seed, seed + 500):
        fuzz_session(Random(number))
