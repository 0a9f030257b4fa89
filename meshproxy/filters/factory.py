"""From settings to the filters that a request passes: `ProxyServices.make_filters`. [4]

The connection manager's chain gives order and defaults; what a route says of a filter takes the place of
the chain's settings. Filters of equal settings are one object while it is in use. Buckets of rate limits stay
with their settings and their place in the configuration when the configuration is replaced around them: they
are kept until they are full, when nobody could tell them from new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from random import Random
from weakref import WeakValueDictionary

from meshproxy.clock import Clock
from meshproxy.config.http_filter import CorsSettings, FaultSettings, RateLimitSettings, SessionSettings
from meshproxy.config.route import FilterConfigs
from meshproxy.filters.api import HttpFilter
from meshproxy.filters.cors import Cors
from meshproxy.filters.fault import ActiveFaults, Fault
from meshproxy.filters.local_rate_limit import Buckets, LocalRateLimit
from meshproxy.filters.stateful_session import session_filter


class FilterFactory:
    """Makes the filters of one worker."""

    def __init__(self, clock: Clock, rng: Random) -> None:
        self._clock = clock
        self._rng = rng
        self._active_faults = ActiveFaults()
        self._filters: WeakValueDictionary[Hashable, HttpFilter] = WeakValueDictionary()
        """By their settings."""
        self._buckets: dict[RateLimitSettings, Buckets] = {}
        """Also of settings that are in force no more, until they are full."""
        self._makers: dict[type, Callable[..., HttpFilter]] = {
            CorsSettings: lambda settings: Cors(settings, rng),
            FaultSettings: lambda settings: Fault(settings, rng, self._active_faults),
            RateLimitSettings: lambda settings: LocalRateLimit(settings, self._buckets_of(settings), rng),
            SessionSettings: lambda settings: session_filter(settings, clock.wall),
        }

    def make(self, chain: FilterConfigs, own: FilterConfigs) -> tuple[HttpFilter, ...]:
        """The filters of a route with settings `own`, in the order of `chain`. Those that nobody gave
        settings are left out; settings for filters that are not in the chain mean nothing, as in Envoy."""
        said = dict(own)
        chosen = [said.get(name, settings) for name, settings in chain]
        return tuple(self._filter(settings) for settings in chosen if settings is not None)

    def _filter(self, settings: Hashable) -> HttpFilter:
        found = self._filters.get(settings)
        if found is None:
            found = self._filters[settings] = self._makers[type(settings)](settings)
        return found

    def _buckets_of(self, settings: RateLimitSettings) -> Buckets:
        now = self._clock.monotonic()
        buckets = self._buckets.get(settings)
        if buckets is None:
            self._forget(now)
            buckets = self._buckets[settings] = Buckets(settings, now)
        return buckets

    def _forget(self, now: float) -> None:
        """Drop full buckets that no filter uses."""
        unused = [settings for settings in self._buckets if settings not in self._filters]
        for settings in unused:
            if self._buckets[settings].is_full(now):
                del self._buckets[settings]
