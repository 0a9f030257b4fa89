"""Token buckets for rate limits (pure): so many at once, so many per time, exactly.

A bucket is full at first and refills evenly; it is brought up to date when it is asked, so an idle one costs
nothing. Tokens are counted in whole numbers of (token x nanosecond of the fill interval): no rounding adds
up, and over any time no more passes than what was in the bucket and what came in. Mirrors
`envoy.type.v3.TokenBucket`.

`KeyedBuckets` gives each key (a client identity, a header's value) a bucket of its own in a table of limited
size. Only a full bucket is ever forgotten, because a new one is full too: whoever floods the table with keys
cannot get a bucket renewed, neither theirs nor somebody else's. When nothing can be forgotten, new keys
share one bucket.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from meshproxy.config.resilience import TokenBucketSettings

_NANOSECONDS = 1_000_000_000

K = TypeVar("K")


class TokenBucket:
    """`now` is monotonic seconds; a step back is no step."""

    __slots__ = ("_at", "_capacity", "_fill", "_level", "_unit", "settings")

    def __init__(self, settings: TokenBucketSettings, now: float) -> None:
        self.settings = settings
        self._unit = round(settings.fill_interval * _NANOSECONDS)
        """What one token is worth."""
        self._fill = settings.tokens_per_fill
        """What comes in each nanosecond."""
        self._capacity = settings.max_tokens * self._unit
        self._level = self._capacity
        self._at = int(now * _NANOSECONDS)

    def try_take(self, now: float, tokens: int = 1) -> bool:
        """Take so many tokens, or none when there are not enough."""
        self._refill(now)
        need = tokens * self._unit
        if need > self._level:
            return False
        self._level -= need
        return True

    def remaining(self, now: float) -> int:
        """Whole tokens left (`x-ratelimit-remaining`)."""
        self._refill(now)
        return self._level // self._unit

    def is_full(self, now: float) -> bool:
        """As if it were new."""
        self._refill(now)
        return self._level == self._capacity

    def retry_after(self, now: float, tokens: int = 1) -> int:
        """Whole seconds, rounded up, until so many tokens are there (`Retry-After`); 0: they are.

        More than the bucket holds never come: the time until it is full.
        """
        return self._seconds_until(min(tokens * self._unit, self._capacity), now)

    def reset(self, now: float) -> int:
        """Whole seconds, rounded up, until it is full (`x-ratelimit-reset`)."""
        return self._seconds_until(self._capacity, now)

    def _seconds_until(self, level: int, now: float) -> int:
        self._refill(now)
        missing = max(0, level - self._level)
        return -(-missing // (self._fill * _NANOSECONDS))

    def _refill(self, now: float) -> None:
        at = int(now * _NANOSECONDS)
        if at > self._at:
            self._level = min(self._capacity, self._level + (at - self._at) * self._fill)
            self._at = at


_LOOKS = 8
"""Buckets looked at to make room for one new key: what each request may cost is bounded."""


class KeyedBuckets(Generic[K]):
    """A bucket per key, all of the same settings."""

    __slots__ = ("_buckets", "_limit", "_rest", "overflows", "settings")

    def __init__(self, settings: TokenBucketSettings, now: float, limit: int = 10_000) -> None:
        """`limit`: keys kept at most."""
        if limit < 1:
            raise ValueError(f"token bucket table of {limit} keys: must hold at least 1")
        self.settings = settings
        self.overflows = 0
        """Requests that had to share a bucket because the table was full; for metrics."""
        self._limit = limit
        self._buckets: dict[K, TokenBucket] = {}
        self._rest = TokenBucket(settings, now)

    def __len__(self) -> int:
        return len(self._buckets)

    def bucket(self, key: K, now: float) -> TokenBucket:
        """The bucket of `key`: its own, or the one that latecomers share. Use it at once, do not keep it."""
        bucket = self._buckets.pop(key, None)
        if bucket is None:
            if len(self._buckets) >= self._limit and not self._forget_full(now):
                self.overflows += 1
                return self._rest
            bucket = TokenBucket(self.settings, now)
        self._buckets[key] = bucket  # the order is that of use: who was idle longest stands first
        return bucket

    def is_full(self, now: float) -> bool:
        """Every bucket is as if it were new."""
        return self._rest.is_full(now) and all(bucket.is_full(now) for bucket in self._buckets.values())

    def _forget_full(self, now: float) -> bool:
        """Forget the full ones among those idle longest; False: there is none."""
        oldest = [key for key, _ in zip(self._buckets, range(_LOOKS), strict=False)]
        full = [key for key in oldest if self._buckets[key].is_full(now)]
        for key in full:
            del self._buckets[key]
        return bool(full)
