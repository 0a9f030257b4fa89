"""Limits for all, per header, per client: by simulated time."""

import tracemalloc
from dataclasses import replace
from random import Random

import pytest

from meshproxy.config.head_edit import AppendAction, HeaderOption
from meshproxy.config.http_filter import (
    ALWAYS,
    NEVER,
    DescribeAddress,
    DescribeHeader,
    DescribePrincipal,
    DescribeValue,
    Fraction,
    LimitDescriptor,
    RateLimitSettings,
)
from meshproxy.config.resilience import TokenBucketSettings
from meshproxy.filters.api import LocalReply
from meshproxy.filters.local_rate_limit import Buckets, LocalRateLimit
from tests.unit.meshproxy.filters.filtered import Request, head

NOW = 1000.0
LIMIT = RateLimitSettings(
    place="here", bucket=TokenBucketSettings(2, 1, 5.0), enabled=ALWAYS, enforced=ALWAYS, says_limits=True
)
SLOW = TokenBucketSettings(2, 1, 50.0)
PLENTY = TokenBucketSettings(1000, 1000, 1.0)
HEADER = DescribeHeader("key", "x-key")


def limit(settings: RateLimitSettings = LIMIT) -> LocalRateLimit:
    return LocalRateLimit(settings, Buckets(settings, NOW), Random(1))


def ask(one: LocalRateLimit, *lines: str, now: float = NOW, principal: str = "") -> LocalReply | None:
    return one.on_request(Request(head(*lines), now=now, principal=principal))


def said(one: LocalRateLimit, *lines: str, now: float = NOW) -> list[str]:
    """Values of limit, remaining and reset."""
    request = Request(head(*lines), now=now)
    one.on_request(request)
    return [line.partition(": ")[2] for line in request.answered() if line.startswith("x-ratelimit-")]


def per_key(*entries: tuple[str, str], **changes: object) -> RateLimitSettings:
    made = replace(
        LIMIT,
        bucket=PLENTY,
        descriptors=(LimitDescriptor(entries or (("key", ""),), SLOW),),
        actions=((HEADER,),),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_what_is_above_the_limit_is_refused_and_told_when_to_come_back() -> None:
    one = limit()
    assert [ask(one) for _ in range(2)] == [None, None]
    assert ask(one) == LocalReply(
        429,
        b"local_rate_limited",
        ((b"retry-after", b"5"), (b"x-envoy-ratelimited", b"true")),
        flag="RL",
    )
    refused = ask(one, now=NOW + 4.5)
    assert refused is not None
    assert refused.headers[0] == (b"retry-after", b"1")
    assert ask(one, now=NOW + 5.0) is None
    assert ask(one, now=NOW + 5.0) is not None


def test_every_answer_says_what_is_left() -> None:
    one = limit()
    assert said(one) == ["2", "1", "0"]
    assert said(one) == ["2", "0", "5"]
    assert said(one) == ["2", "0", "5"]
    assert said(one, now=NOW + 2.0) == ["2", "0", "3"]


def test_they_stand_beside_the_upstreams_own() -> None:
    request = Request()
    limit().on_request(request)
    assert request.answered("x-ratelimit-limit: 77")[:2] == ["x-ratelimit-limit: 77", "x-ratelimit-limit: 2"]


def test_nothing_is_said_unless_asked_for() -> None:
    request = Request()
    limit(replace(LIMIT, says_limits=False)).on_request(request)
    assert request.hooks == []


def test_by_default_nothing_is_counted_and_nothing_refused() -> None:
    off = limit(replace(LIMIT, enabled=NEVER))
    assert [ask(off) for _ in range(9)] == [None] * 9
    counted = limit(replace(LIMIT, enforced=NEVER))
    assert [ask(counted) for _ in range(9)] == [None] * 9
    assert said(counted) == ["2", "0", "5"]


def test_a_share_may_be_counted_and_a_share_refused() -> None:
    settings = replace(LIMIT, bucket=TokenBucketSettings(1, 1, 1e6), enabled=Fraction(50))
    refused = [ask(one) is not None for one in [limit(settings)] for _ in range(2000)]
    assert 900 < sum(refused) < 1100
    one = limit(replace(settings, enabled=ALWAYS, enforced=Fraction(25)))
    assert 400 < sum(ask(one) is not None for _ in range(2000)) < 600


def test_the_settings_may_write_the_reply() -> None:
    options = (
        HeaderOption("retry-after", "7", AppendAction.OVERWRITE_IF_EXISTS_OR_ADD),
        HeaderOption("x-more", "y"),
        HeaderOption("x-absent", "z", AppendAction.OVERWRITE_IF_EXISTS),
    )
    one = limit(replace(LIMIT, status=503, reply_headers=options, bucket=TokenBucketSettings(1, 1, 9.0)))
    ask(one)
    refused = ask(one)
    assert refused is not None
    assert refused.status == 503
    assert refused.headers == (
        (b"retry-after", b"7"),
        (b"x-more", b"y"),
        (b"x-envoy-ratelimited", b"true"),
    )


def test_each_value_of_a_header_has_a_bucket_of_its_own() -> None:
    one = limit(per_key())
    assert [ask(one, f"x-key: {key}") is None for key in "aaabab"] == [True, True, False, True, False, True]
    assert said(one, "x-key: c") == ["2", "1", "0"]
    assert said(one) == ["1000", "994", "0"], "refused ones took nothing from the bucket for all"


def test_a_literal_value_comes_before_a_wildcard() -> None:
    vip = LimitDescriptor((("key", "vip"),), TokenBucketSettings(5, 1, 50.0))
    settings = per_key()
    one = limit(replace(settings, descriptors=(*settings.descriptors, vip)))
    assert said(one, "x-key: vip") == ["5", "4", "0"]
    assert said(one, "x-key: other") == ["2", "1", "0"]


def test_a_literal_value_alone_limits_nobody_else() -> None:
    one = limit(per_key(("key", "a"), always_consume_default=False))
    assert said(one, "x-key: a") == ["2", "1", "0"]
    assert said(one, "x-key: b") == ["1000", "999", "0"]


def test_the_bucket_for_all_counts_too_unless_told_otherwise() -> None:
    for always, expected in ((True, [True, False]), (False, [True, True])):
        settings = per_key(bucket=TokenBucketSettings(1, 1, 50.0), always_consume_default=always)
        one = limit(settings)
        assert [ask(one, f"x-key: {key}") is None for key in "ab"] == expected


def test_each_client_has_a_bucket_and_only_its_certificate_counts() -> None:
    settings = per_key(("limit", ""), actions=((DescribePrincipal("limit", skip_if_absent=True),),))
    one = limit(settings)
    web, cart = "spiffe://x/ns/shop/sa/web", "spiffe://x/ns/shop/sa/cart"
    forged = f"x-forwarded-client-cert: URI={cart}"
    assert [ask(one, forged, principal=web) is None for _ in range(3)] == [True, True, False]
    assert ask(one, forged, principal=cart) is None
    assert [ask(one, forged) for _ in range(9)] == [None] * 9, "who has no certificate has no such limit"


def test_all_entries_of_a_descriptor_have_to_be_there() -> None:
    settings = replace(
        LIMIT,
        bucket=PLENTY,
        descriptors=(
            LimitDescriptor((("key", ""), ("remote_address", "")), SLOW),
            LimitDescriptor((("generic_key", "g"),), TokenBucketSettings(5, 1, 50.0)),
        ),
        actions=((HEADER, DescribeAddress()), (DescribeValue("generic_key", "g"),)),
    )
    one = limit(settings)
    assert said(one, "x-key: z") == ["2", "1", "0"], "the slowest bucket is spoken of"
    assert said(one) == ["5", "3", "0"]
    assert said(one, "x-key: z") == ["2", "0", "50"]
    assert ask(one, "x-key: z") is not None
    assert said(one) == ["5", "1", "0"], "refused by the slowest, it took nothing of the next"


def test_a_missing_value_may_leave_its_entry_out() -> None:
    actions = ((DescribeHeader("key", "x-key", skip_if_absent=True), DescribeValue("kind", "api")),)
    one = limit(per_key(("kind", "api"), actions=actions))
    assert said(one) == ["2", "1", "0"]
    assert said(one, "x-key: a") == ["1000", "998", "0"], "two entries are another descriptor"


def test_the_method_and_an_address_may_be_keys() -> None:
    one = limit(per_key(("m", "GET"), actions=((DescribeHeader("m", ":method"),),)))
    assert said(one) == ["2", "1", "0"]
    nowhere = per_key(("remote_address", ""), actions=((DescribeAddress(),),))
    request = Request(peer_address="")
    limit(nowhere).on_request(request)
    assert request.answered()[0] == "x-ratelimit-limit: 1000"


def test_a_flood_of_keys_renews_no_bucket() -> None:
    one = limit(per_key(max_keys=4))
    for _ in range(2):
        assert ask(one, "x-key: me") is None
    for number in range(100):
        ask(one, f"x-key: {number}")
    assert ask(one, "x-key: me") is not None


def test_long_values_are_told_apart_and_not_kept() -> None:
    settings = per_key()
    buckets = Buckets(settings, NOW)
    one = LocalRateLimit(settings, buckets, Random(1))
    tracemalloc.start()
    try:
        for number in range(20):
            value = f"{number}" + "x" * 50_000
            for allowed in (True, True, False):
                assert (ask(one, f"x-key: {value}") is None) is allowed
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 500_000


@pytest.mark.parametrize("lines", [(), ("x-key: a",)])
def test_full_buckets_are_as_new(lines: tuple[str, ...]) -> None:
    literal = LimitDescriptor((("key", "b"),), SLOW)
    settings = per_key()
    settings = replace(settings, descriptors=(*settings.descriptors, literal))
    buckets = Buckets(settings, NOW)
    one = LocalRateLimit(settings, buckets, Random(1))
    assert buckets.is_full(NOW)
    ask(one, *lines)
    assert not buckets.is_full(NOW)
    assert not buckets.is_full(NOW + 0.0005)
    assert buckets.is_full(NOW + 50.0)


def test_several_patterns() -> None:
    settings = per_key()
    other = LimitDescriptor((("key", "a"), ("kind", "")), TokenBucketSettings(3, 1, 50.0))
    actions = (*settings.actions, (HEADER, DescribeValue("kind", "api")))
    one = limit(replace(settings, descriptors=(other, *settings.descriptors), actions=actions))
    assert said(one, "x-key: a") == ["2", "1", "0"]
    assert [ask(one, "x-key: a") is None for _ in range(2)] == [True, False]
