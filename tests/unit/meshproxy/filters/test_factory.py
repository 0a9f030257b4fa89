"""Which filters a route gets, in which order, and what they keep when the configuration is replaced."""

import gc
from dataclasses import dataclass, replace
from random import Random

from meshproxy.config.http_filter import (
    ALWAYS,
    CookieSession,
    CorsSettings,
    FaultAbort,
    FaultSettings,
    RateLimitSettings,
    SessionSettings,
)
from meshproxy.config.resilience import TokenBucketSettings
from meshproxy.filters.cors import Cors
from meshproxy.filters.factory import FilterFactory
from meshproxy.filters.fault import Fault
from meshproxy.filters.local_rate_limit import LocalRateLimit
from meshproxy.filters.stateful_session import CookieSessionFilter
from tests.unit.meshproxy.filters.filtered import Request

CORS, LIMIT, FAULT, SESSION = "cors", "limit", "fault", "session"
FAULTS = FaultSettings(abort=FaultAbort(500, ALWAYS))
LIMITS = RateLimitSettings("here", TokenBucketSettings(1, 1, 10.0), ALWAYS, ALWAYS)
CHAIN = ((CORS, None), (LIMIT, None), (FAULT, None), (SESSION, None))
OWN = (
    (CORS, CorsSettings()),
    (FAULT, FAULTS),
    (LIMIT, LIMITS),
    (SESSION, SessionSettings(CookieSession("s"))),
)


@dataclass
class ManualClock:
    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


def factory(clock: ManualClock | None = None) -> FilterFactory:
    return FilterFactory(clock or ManualClock(), Random(1))


def test_the_chain_gives_the_order() -> None:
    made = factory().make(CHAIN, OWN)
    assert [type(one) for one in made] == [Cors, LocalRateLimit, Fault, CookieSessionFilter]
    backwards = factory().make(CHAIN[::-1], OWN)
    assert [type(one) for one in backwards] == [CookieSessionFilter, Fault, LocalRateLimit, Cors]


def test_a_filter_without_settings_is_none() -> None:
    assert factory().make(CHAIN, ()) == ()


def test_settings_for_a_filter_that_is_not_in_the_chain_mean_nothing() -> None:
    assert factory().make(((CORS, None),), ((FAULT, FAULTS),)) == ()


def test_a_route_replaces_the_chains_settings_or_switches_them_off() -> None:
    one = factory()
    chain = ((FAULT, FAULTS),)
    [of_chain] = one.make(chain, ())
    [own] = one.make(chain, ((FAULT, FaultSettings(abort=FaultAbort(418, ALWAYS))),))
    verdict = own.on_request(Request())
    assert own is not of_chain
    assert verdict is not None
    assert verdict.status == 418  # type: ignore[union-attr]
    assert one.make(chain, ((FAULT, None),)) == ()


def test_equal_settings_share_a_filter() -> None:
    one = factory()
    first = one.make(CHAIN, OWN)
    again = one.make(CHAIN, tuple((name, replace(settings)) for name, settings in OWN))
    assert all(a is b for a, b in zip(first, again, strict=True))


def test_different_places_have_buckets_of_their_own() -> None:
    one = factory()
    chain = ((LIMIT, None),)
    [here] = one.make(chain, ((LIMIT, LIMITS),))
    [there] = one.make(chain, ((LIMIT, replace(LIMITS, place="there")),))
    assert here.on_request(Request()) is None
    assert here.on_request(Request()) is not None
    assert there.on_request(Request()) is None


def refilled(clock: ManualClock, one: FilterFactory, between: RateLimitSettings | None) -> bool:
    """Whether a limit that was used up lets through again, once everything made of it is gone."""
    chain = ((LIMIT, None),)
    used = one.make(chain, ((LIMIT, LIMITS),))
    assert used[0].on_request(Request(now=clock.now)) is None
    assert used[0].on_request(Request(now=clock.now)) is not None
    del used
    gc.collect()
    if between is not None:
        one.make(chain, ((LIMIT, between),))
    [new] = one.make(chain, ((LIMIT, replace(LIMITS)),))
    return new.on_request(Request(now=clock.now)) is None


def test_buckets_outlive_the_configuration_that_made_them() -> None:
    clock = ManualClock()
    assert not refilled(clock, factory(clock), None)
    assert not refilled(clock, factory(clock), replace(LIMITS, place="new"))


def test_other_settings_begin_anew() -> None:
    clock, chain = ManualClock(), ((LIMIT, None),)
    one = factory(clock)
    assert not refilled(clock, one, None)
    [other] = one.make(chain, ((LIMIT, replace(LIMITS, status=503)),))
    assert other.on_request(Request()) is None


def test_full_buckets_that_nobody_uses_are_forgotten() -> None:
    clock = ManualClock()
    one = factory(clock)
    for number in range(50):
        one.make(((LIMIT, None),), ((LIMIT, replace(LIMITS, place=str(number))),))
        gc.collect()
    assert len(one._buckets) <= 2
    kept = one.make(((LIMIT, None),), ((LIMIT, LIMITS),))
    clock.now += 100
    one.make(((LIMIT, None),), ((LIMIT, replace(LIMITS, place="other")),))
    assert LIMITS in one._buckets, "the buckets of a filter in use stay, also full ones"
    assert len(kept) == 1


def test_faults_of_all_routes_are_counted_together() -> None:
    one = factory()
    limited = replace(FAULTS, max_active=1)
    [first] = one.make(((FAULT, FAULTS),), ())
    [second] = one.make(((FAULT, limited),), ())
    assert first.on_request(Request()) is not None
    assert second.on_request(Request()) is None
