import uuid
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from meshproxy.proxy.request_id import new_request_id


@given(st.integers())
def test_is_a_random_uuid(seed):
    text = new_request_id(Random(seed)).decode()
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert parsed.version == 4
    assert parsed.variant == uuid.RFC_4122


def test_differs_from_one_to_the_next():
    rng = Random(1)
    assert len({new_request_id(rng) for _ in range(1000)}) == 1000
