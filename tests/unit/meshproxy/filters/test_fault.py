"""Delays and aborts: which requests, how long, and what is left behind."""

from random import Random

import pytest

from meshproxy.config.http_filter import ALWAYS, FaultAbort, FaultDelay, FaultSettings, Fraction
from meshproxy.config.route_match import HeaderMatch, StringMatch, StringMatchKind
from meshproxy.filters.api import Delay, LocalReply
from meshproxy.filters.fault import ActiveFaults, Fault
from tests.unit.meshproxy.filters.filtered import Request, head

ABORT = FaultAbort(418, ALWAYS)
REPLY = LocalReply(418, b"fault filter abort", flag="FI")
BY_HEADER = FaultSettings(delay=FaultDelay(None, Fraction(50)), abort=FaultAbort(None, ALWAYS))


class Drawn(Random):
    """Draws what it is told."""

    def __init__(self, value: float) -> None:
        super().__init__(1)
        self.value = value

    def random(self) -> float:
        return self.value


def fault(settings: FaultSettings, drawn: float = 0.0, active: ActiveFaults | None = None) -> Fault:
    return Fault(settings, Drawn(drawn), active or ActiveFaults())


def verdict(settings: FaultSettings, *lines: str, drawn: float = 0.0) -> LocalReply | Delay | None:
    return fault(settings, drawn).on_request(Request(head(*lines)))


def test_an_abort_answers_with_its_status() -> None:
    assert verdict(FaultSettings(abort=ABORT)) == REPLY


def test_a_delay_lets_go_on_after_a_while() -> None:
    assert verdict(FaultSettings(delay=FaultDelay(0.3, ALWAYS))) == Delay(0.3, "DI")


def test_a_delay_may_be_for_nothing() -> None:
    both = FaultSettings(delay=FaultDelay(0.3, ALWAYS), abort=ABORT)
    assert verdict(both) == Delay(0.3, "DI", then=REPLY)


def test_delay_and_abort_are_drawn_each_on_its_own() -> None:
    both = FaultSettings(delay=FaultDelay(1.0, Fraction(20)), abort=FaultAbort(503, Fraction(50)))
    one = Fault(both, Random(7), ActiveFaults())
    kinds = {"delay": 0, "abort": 0, "both": 0, "none": 0}
    for _ in range(4000):
        found = one.on_request(Request())
        if isinstance(found, Delay):
            kinds["both" if found.then is not None else "delay"] += 1
        else:
            kinds["abort" if found is not None else "none"] += 1
    shares = {kind: count / 4000 for kind, count in kinds.items()}
    assert shares == pytest.approx({"delay": 0.1, "abort": 0.4, "both": 0.1, "none": 0.4}, abs=0.03)


@pytest.mark.parametrize(
    ("share", "drawn", "is_hit"),
    [
        (Fraction(0), 0.0, False),
        (Fraction(1), 0.0099, True),
        (Fraction(1), 0.01, False),
        (Fraction(1, 1_000_000), 0.0, True),
        (Fraction(1, 1_000_000), 0.000_001, False),
        (Fraction(10_000, 10_000), 0.999_999, True),
    ],
)
def test_percentages_have_denominators(share: Fraction, drawn: float, is_hit: bool) -> None:
    found = verdict(FaultSettings(abort=FaultAbort(503, share)), drawn=drawn)
    assert (found is not None) is is_hit


def test_only_requests_with_all_headers() -> None:
    matches = tuple(HeaderMatch(name, StringMatch(StringMatchKind.EXACT, "1")) for name in ("x-a", "x-b"))
    settings = FaultSettings(abort=ABORT, headers=matches)
    assert verdict(settings, "x-a: 1", "x-b: 1") == REPLY
    assert verdict(settings, "x-a: 1") is None
    assert verdict(settings, "x-a: 1", "x-b: 2") is None


@pytest.mark.parametrize(
    ("lines", "drawn", "expected"),
    [
        ((), 0.0, None),
        (("x-envoy-fault-delay-request: 200",), 0.0, Delay(0.2, "DI")),
        (("x-envoy-fault-delay-request: 200",), 0.5, None),
        (("x-envoy-fault-delay-request: 200", "x-envoy-fault-delay-request-percentage: 10"), 0.1, None),
        (
            ("x-envoy-fault-delay-request: 200", "x-envoy-fault-delay-request-percentage: 99"),
            0.49,
            Delay(0.2, "DI"),
        ),
        (("x-envoy-fault-delay-request: 0",), 0.0, None),
        (("x-envoy-fault-delay-request: soon",), 0.0, None),
        (("x-envoy-fault-delay-request: 9999999999",), 0.0, None),
        (("x-envoy-fault-abort-request: 418",), 0.99, REPLY),
        (("x-envoy-fault-abort-request: 999",), 0.0, None),
        (("x-envoy-fault-abort-request: 199",), 0.0, None),
        (("x-envoy-fault-abort-request: 418", "x-envoy-fault-abort-request-percentage: 0"), 0.0, None),
        (("x-envoy-fault-abort-request: 418", "x-envoy-fault-abort-request-percentage: x"), 0.99, REPLY),
    ],
)
def test_headers_may_say_what_and_how_often(
    lines: tuple[str, ...], drawn: float, expected: LocalReply | Delay | None
) -> None:
    assert verdict(BY_HEADER, *lines, drawn=drawn) == expected


def test_headers_say_nothing_where_the_settings_do() -> None:
    settings = FaultSettings(delay=FaultDelay(0.3, ALWAYS))
    assert verdict(settings, "x-envoy-fault-abort-request: 500") == Delay(0.3, "DI")


def test_no_more_faults_at_once_than_allowed() -> None:
    active = ActiveFaults()
    one = fault(FaultSettings(delay=FaultDelay(1.0, ALWAYS), max_active=2), active=active)
    requests = [Request() for _ in range(3)]
    found = [one.on_request(request) for request in requests]
    assert [each is not None for each in found] == [True, True, False]
    assert active.count == 2
    requests[0].end()
    assert one.on_request(Request()) is not None
    for request in requests[1:]:
        request.end()
    assert active.count == 1


def test_a_request_without_fault_counts_for_nothing() -> None:
    active, request = ActiveFaults(), Request()
    assert fault(FaultSettings(abort=FaultAbort(500)), active=active).on_request(request) is None
    assert (active.count, request.ends) == (0, [])
