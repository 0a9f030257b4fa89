"""Requests above a rate are refused (`envoy.filters.http.local_ratelimit`). [4]

A request takes a token of every bucket whose descriptor it meets, the slowest bucket first, and then of the
bucket for all; the first that is empty refuses it. A descriptor with an empty value gives each value a bucket
of its own, in a table of limited size that never forgets a bucket in use. A refusal says when to come back
(`retry-after`: until the bucket that refused has a token again, unless the settings write that field
themselves) and that it is one (`x-envoy-ratelimited`, as Envoy's documentation has it). `x-ratelimit-*`
speak of the bucket that refused, or else of the slowest one met; the reset is the time until there is a token
again, 0 while there is one.

Buckets are of one worker process. They live apart from the filter, in `Buckets`, so that they can outlive the
configuration that made it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from random import Random
from typing import Final

from meshproxy.config.head_edit import AppendAction
from meshproxy.config.http_filter import LimitDescriptor, RateLimitSettings
from meshproxy.config.resilience import TokenBucketSettings
from meshproxy.filters.api import Answer, FilteredRequest, LocalReply
from meshproxy.filters.descriptor import Descriptor, DescriptorMaker
from meshproxy.http.events import Headers
from meshproxy.policy.token_bucket import KeyedBuckets, TokenBucket

_BODY: Final = b"local_rate_limited"
_RETRY_AFTER: Final = b"retry-after"
_LIMITED: Final = (b"x-envoy-ratelimited", b"true")
_LONG_VALUE: Final = 256
"""Characters of a value kept as it is."""


class Buckets:
    """All buckets of one place in the configuration, full at first."""

    __slots__ = ("_exact", "_wild", "for_all")

    def __init__(self, settings: RateLimitSettings, now: float) -> None:
        self.for_all = TokenBucket(settings.bucket, now)
        self._exact: dict[Descriptor, TokenBucket] = {}
        self._wild: list[tuple[Descriptor, KeyedBuckets[Descriptor]]] = []
        for descriptor in settings.descriptors:
            if _is_wild(descriptor):
                table: KeyedBuckets[Descriptor] = KeyedBuckets(descriptor.bucket, now, settings.max_keys)
                self._wild.append((descriptor.entries, table))
            else:
                self._exact[descriptor.entries] = TokenBucket(descriptor.bucket, now)

    def find(self, descriptor: Descriptor, now: float) -> TokenBucket | None:
        """The bucket of a request's descriptor; a literal one before one with wildcards."""
        bucket = self._exact.get(descriptor)
        if bucket is not None:
            return bucket
        for pattern, table in self._wild:
            if _meets(descriptor, pattern):
                return table.bucket(_shortened(descriptor), now)
        return None

    def is_full(self, now: float) -> bool:
        """As if all were new: nobody would notice if they were."""
        return (
            self.for_all.is_full(now)
            and all(bucket.is_full(now) for bucket in self._exact.values())
            and all(table.is_full(now) for _, table in self._wild)
        )


def _is_wild(descriptor: LimitDescriptor) -> bool:
    return any(not value for _, value in descriptor.entries)


def _meets(descriptor: Descriptor, pattern: Descriptor) -> bool:
    return len(descriptor) == len(pattern) and all(
        key == wanted and (not value or text == value)
        for (key, text), (wanted, value) in zip(descriptor, pattern, strict=True)
    )


def _shortened(descriptor: Descriptor) -> Descriptor:
    """A client chooses the values, so a table that is bounded in keys has to bound their length, too: of a
    long one its digest is kept. No field value has a NUL in it."""
    if all(len(value) <= _LONG_VALUE for _, value in descriptor):
        return descriptor
    return tuple(
        (key, value if len(value) <= _LONG_VALUE else f"\0{sha256(value.encode()).hexdigest()}")
        for key, value in descriptor
    )


class LocalRateLimit:
    """One limit."""

    __slots__ = (
        "__weakref__",
        "_always_takes",
        "_buckets",
        "_draw",
        "_enabled",
        "_enforced",
        "_headers",
        "_makers",
        "_says_limits",
        "_says_when",
        "_status",
    )

    def __init__(self, settings: RateLimitSettings, buckets: Buckets, rng: Random) -> None:
        self._buckets = buckets
        self._makers = tuple(DescriptorMaker(actions) for actions in settings.actions)
        self._always_takes = settings.always_consume_default
        self._enabled = settings.enabled.share
        self._enforced = settings.enforced.share
        self._status = settings.status
        self._says_limits = settings.says_limits
        self._headers: Headers = (*_reply_fields(settings), _LIMITED)
        self._says_when = all(name != _RETRY_AFTER for name, _ in self._headers)
        self._draw: Callable[[], float] = rng.random

    def on_request(self, request: FilteredRequest) -> LocalReply | None:
        if not self._is_drawn(self._enabled):
            return None
        now = request.now
        bucket, is_allowed = self._take(request, now)
        if self._says_limits:
            request.after(partial(_say, _limits(bucket, now)))
        if is_allowed or not self._is_drawn(self._enforced):
            return None
        headers = self._headers
        if self._says_when:
            headers = ((_RETRY_AFTER, b"%d" % max(1, bucket.retry_after(now))), *headers)
        return LocalReply(self._status, _BODY, headers, flag="RL")

    def _is_drawn(self, share: float) -> bool:
        return share >= 1.0 or self._draw() < share

    def _take(self, request: FilteredRequest, now: float) -> tuple[TokenBucket, bool]:
        """Take the tokens -> (the bucket to speak of, whether there were enough)."""
        met = self._met(request, now) if self._makers else []
        for bucket in met:
            if not bucket.try_take(now):
                return bucket, False
        for_all = self._buckets.for_all
        if (not met or self._always_takes) and not for_all.try_take(now):
            return for_all, False
        return (met[0] if met else for_all), True

    def _met(self, request: FilteredRequest, now: float) -> list[TokenBucket]:
        """Buckets of the request's descriptors, the slowest first."""
        met = []
        for maker in self._makers:
            descriptor = maker.make(request)
            bucket = self._buckets.find(descriptor, now) if descriptor else None
            if bucket is not None:
                met.append(bucket)
        if len(met) > 1:
            met.sort(key=lambda bucket: _rate(bucket.settings))
        return met


def _rate(settings: TokenBucketSettings) -> float:
    """Tokens per second."""
    return settings.tokens_per_fill / settings.fill_interval


def _reply_fields(settings: RateLimitSettings) -> Headers:
    """`response_headers_to_add` on a reply that has none of these fields yet."""
    return tuple(
        (option.name.encode(), option.value.encode())
        for option in settings.reply_headers
        if option.action is not AppendAction.OVERWRITE_IF_EXISTS
    )


def _limits(bucket: TokenBucket, now: float) -> bytes:
    """Field lines of draft-polli-ratelimit-headers-03, as Envoy writes them."""
    return b"x-ratelimit-limit: %d\r\nx-ratelimit-remaining: %d\r\nx-ratelimit-reset: %d\r\n" % (
        bucket.settings.max_tokens,
        bucket.remaining(now),
        bucket.retry_after(now),
    )


def _say(lines: bytes, answer: Answer) -> None:
    """Beside those of the upstream, as Envoy does."""
    answer.forward += lines
