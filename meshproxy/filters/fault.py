"""Faults on purpose (`envoy.filters.http.fault`): requests wait, are refused, or both. [4]

Which ones: those with the headers asked for; then a share of them waits, and, drawn on its own, a share is
answered with an error, after the wait if there is one. Where the settings leave it to the request, its
`x-envoy-fault-…` headers say how long, which status, and a smaller share; they are passed on. Response flags
are Envoy's, `DI` and `FI`. A fault is active from its begin to the end of its exchange; they are counted
per worker.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from meshproxy.config.http_filter import FaultAbort, FaultDelay, FaultSettings, Fraction
from meshproxy.filters.api import Delay, FilteredRequest, LocalReply
from meshproxy.filters.message_field import first_value
from meshproxy.http.events import Headers
from meshproxy.routing.value_match import compile_header_match

_BODY: Final = b"fault filter abort"
_DELAY: Final = b"x-envoy-fault-delay-request"
_DELAY_PERCENTAGE: Final = b"x-envoy-fault-delay-request-percentage"
_ABORT: Final = b"x-envoy-fault-abort-request"
_ABORT_PERCENTAGE: Final = b"x-envoy-fault-abort-request-percentage"
_MAX_DIGITS: Final = 9
"""Of a number in a header: more than eleven days of milliseconds."""


class ActiveFaults:
    """Exchanges of a worker that have a fault."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def end(self) -> None:
        self.count -= 1


class Fault:
    """One set of faults."""

    __slots__ = ("__weakref__", "_abort", "_active", "_constraints", "_delay", "_draw", "_max_active")

    def __init__(self, settings: FaultSettings, rng: Random, active: ActiveFaults) -> None:
        """Raises ConfigError for a regular expression that RE2 does not take."""
        self._delay = settings.delay
        self._abort = settings.abort
        self._constraints = tuple(compile_header_match(match) for match in settings.headers)
        self._max_active = settings.max_active
        self._active = active
        self._draw: Callable[[], float] = rng.random

    def on_request(self, request: FilteredRequest) -> LocalReply | Delay | None:
        if self._max_active is not None and self._active.count >= self._max_active:
            return None
        head = request.head
        for holds in self._constraints:
            if not holds(head):
                return None
        seconds = self._seconds(self._delay, head.headers) if self._delay is not None else 0.0
        status = self._status(self._abort, head.headers) if self._abort is not None else None
        reply = None
        if status is not None and self._abort is not None:
            reply = LocalReply(status, _BODY, flag="FI", grpc_status=self._abort.grpc_status)
        if not seconds and reply is None:
            return None
        self._active.count += 1
        request.at_end(self._active.end)
        return Delay(seconds, "DI", then=reply) if seconds else reply

    def _seconds(self, delay: FaultDelay, headers: Headers) -> float:
        """0 for this request none."""
        if delay.fixed is not None:
            return delay.fixed if self._is_drawn(delay.percentage) else 0.0
        milliseconds = _number(headers, _DELAY)
        if not milliseconds or not self._is_drawn(_lowered(delay.percentage, headers, _DELAY_PERCENTAGE)):
            return 0.0
        return milliseconds / 1000

    def _status(self, abort: FaultAbort, headers: Headers) -> int | None:
        if abort.status is not None:
            return abort.status if self._is_drawn(abort.percentage) else None
        status = _number(headers, _ABORT)
        if status is None or not 200 <= status <= 599:
            return None
        share = _lowered(abort.percentage, headers, _ABORT_PERCENTAGE)
        return status if self._is_drawn(share) else None

    def _is_drawn(self, fraction: Fraction) -> bool:
        return self._draw() * fraction.denominator < fraction.numerator


def _lowered(limit: Fraction, headers: Headers, name: bytes) -> Fraction:
    """`limit`, or the smaller numerator that the request names."""
    numerator = _number(headers, name)
    if numerator is None or numerator >= limit.numerator:
        return limit
    return Fraction(numerator, limit.denominator)


def _number(headers: Headers, name: bytes) -> int | None:
    value = first_value(headers, name)
    return int(value) if value is not None and value.isdigit() and len(value) <= _MAX_DIGITS else None
