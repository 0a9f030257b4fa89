import pytest

from meshproxy.upstream.pool import IdlePool, PoolSettings


def test_the_last_connection_put_is_the_first_taken():
    pool: IdlePool[str] = IdlePool(PoolSettings())
    assert pool.take() is None
    assert pool.put("a", now=0.0)
    assert pool.put("b", now=1.0)
    assert len(pool) == 2
    assert [pool.take(), pool.take(), pool.take()] == ["b", "a", None]


def test_a_full_pool_refuses():
    pool: IdlePool[str] = IdlePool(PoolSettings(max_idle=1))
    assert pool.put("a", now=0.0)
    assert not pool.put("b", now=0.0)
    assert pool.take() == "a"


def test_what_waited_too_long_expires_and_the_rest_stays():
    pool: IdlePool[str] = IdlePool(PoolSettings(idle_timeout=10.0))
    pool.put("old", now=0.0)
    pool.put("older-but-newer", now=5.0)
    assert pool.expire(now=9.9) == []
    assert pool.expire(now=10.0) == ["old"]
    assert pool.expire(now=100.0) == ["older-but-newer"]
    assert len(pool) == 0


def test_a_lost_connection_is_forgotten_and_an_unknown_one_is_fine():
    pool: IdlePool[list[str]] = IdlePool(PoolSettings())
    first, second = ["same"], ["same"]
    pool.put(first, now=0.0)
    pool.put(second, now=0.0)
    pool.discard(first)
    pool.discard(["same"])
    assert pool.take() is second
    assert pool.take() is None


def test_clear_takes_everything_out():
    pool: IdlePool[str] = IdlePool(PoolSettings())
    pool.put("a", now=0.0)
    pool.put("b", now=0.0)
    assert pool.clear() == ["a", "b"]
    assert len(pool) == 0


@pytest.mark.parametrize("settings", [{"max_idle": -1}, {"idle_timeout": 0.0}, {"idle_timeout": -1.0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        PoolSettings(**settings)
