"""What a bucket lets pass, what it says of itself, and that a table of them cannot be abused."""

import pytest

from meshproxy.config.resilience import TokenBucketSettings
from meshproxy.errors import ConfigError
from meshproxy.policy.token_bucket import KeyedBuckets, TokenBucket

THREE = TokenBucketSettings(max_tokens=3, tokens_per_fill=1, fill_interval=10.0)


def test_a_burst_then_the_rate() -> None:
    bucket = TokenBucket(THREE, 100.0)
    assert [bucket.try_take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.try_take(now) for now in (109.9, 110.0, 110.1, 119.9, 120.0)] == [0, 1, 0, 0, 1]


def test_what_it_says_of_itself() -> None:
    bucket = TokenBucket(THREE, 0.0)
    assert (bucket.remaining(0.0), bucket.retry_after(0.0), bucket.reset(0.0)) == (3, 0, 0)
    for _ in range(3):
        bucket.try_take(0.0)
    assert (bucket.remaining(4.5), bucket.retry_after(4.5), bucket.reset(4.5)) == (0, 6, 26)
    assert (bucket.remaining(29.9), bucket.is_full(29.9), bucket.is_full(30.0)) == (2, False, True)


def test_several_at_once_or_none() -> None:
    bucket = TokenBucket(THREE, 0.0)
    assert not bucket.try_take(0.0, 4)
    assert bucket.retry_after(0.0, 4) == 0  # it will never hold four
    assert bucket.try_take(0.0, 3)
    assert bucket.retry_after(0.0, 2) == 20


def test_thirds_add_up_exactly() -> None:
    bucket = TokenBucket(TokenBucketSettings(2, 3, 1.0), 0.0)
    passed = sum(bucket.try_take(step / 1000) for step in range(100_001))
    assert passed == 2 + 3 * 100
    assert TokenBucket(THREE, 0.0).remaining(1e9) == 3


def test_a_clock_that_steps_back_gives_nothing() -> None:
    bucket = TokenBucket(THREE, 50.0)
    for _ in range(3):
        bucket.try_take(50.0)
    assert not bucket.try_take(40.0)
    assert bucket.try_take(60.0)


def test_every_key_has_its_own() -> None:
    buckets: KeyedBuckets[str] = KeyedBuckets(THREE, 0.0)
    assert [buckets.bucket("a", 0.0).try_take(0.0) for _ in range(4)] == [True, True, True, False]
    assert buckets.bucket("b", 0.0).try_take(0.0)
    assert len(buckets) == 2


def test_a_flood_of_keys_renews_nobodys_bucket() -> None:
    buckets: KeyedBuckets[str] = KeyedBuckets(THREE, 0.0, limit=5)
    for _ in range(3):
        assert buckets.bucket("abuser", 0.0).try_take(0.0)
    passed = [buckets.bucket(f"flood-{number}", 0.0).try_take(0.0) for number in range(100)]
    assert sum(passed) == 4 + 3  # four found room, the others share one bucket
    assert not buckets.bucket("abuser", 0.0).try_take(0.0)
    assert (len(buckets), buckets.overflows) == (5, 96)


def test_full_buckets_make_room() -> None:
    buckets: KeyedBuckets[str] = KeyedBuckets(THREE, 0.0, limit=2)
    for key in ("a", "b"):
        assert buckets.bucket(key, 0.0).try_take(0.0)
    assert buckets.bucket("c", 10.0).try_take(10.0)  # both are as good as new by now
    assert (len(buckets), buckets.overflows) == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 1, 1.0), "max_tokens 0"), ((1, 0, 1.0), "tokens_per_fill 0"), ((1, 1, 0.0), "fill_interval 0.0 s")],
)
def test_senseless_settings_are_refused(arguments: tuple[int, int, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TokenBucketSettings(*arguments)


def test_a_table_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="0 keys"):
        KeyedBuckets[str](THREE, 0.0, limit=0)
