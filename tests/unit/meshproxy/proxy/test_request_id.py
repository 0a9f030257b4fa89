import uuid
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from meshproxy.proxy.request_id import request_ids


@given(st.integers())
def test_every_id_is_a_version_4_uuid(seed):
    new_id = request_ids(Random(seed))
    for _ in range(3):
        text = new_id().decode()
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert parsed.version == 4
        assert parsed.variant == uuid.RFC_4122


def test_ids_of_one_process_and_of_several_differ():
    sources = [request_ids(Random(seed)) for seed in range(20)]
    assert len({source() for source in sources for _ in range(500)}) == 10_000
