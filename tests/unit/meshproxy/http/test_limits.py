import pytest

from meshproxy.http.limits import HeadLimits


def test_defaults_follow_envoy():
    limits = HeadLimits()
    assert (limits.max_head_bytes, limits.max_fields) == (60 * 1024, 100)


@pytest.mark.parametrize(
    "name",
    ["max_head_bytes", "max_target_bytes", "max_fields", "max_chunk_line", "max_chunk_extension_bytes",
     "max_trailer_bytes"],
)  # fmt: skip
def test_a_limit_must_be_positive(name):
    with pytest.raises(ValueError, match=name):
        HeadLimits(**{name: 0})
