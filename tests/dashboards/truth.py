"""What happened in a lab while Prometheus looked, from the ledgers of those who did it (pure)."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from meshctl.demo.ledger import Ledger
from tests.dashboards.measure import Expected, Labels, Measure, near, only

NAMESPACE = "shop"
TALKER = "inventory"
"""Where TCP connections come from: a pod that asks for no other names."""
LOST = "greeter"
"""Who calls where nobody listens: a pod that calls nobody else."""
RATE_SLACK = 0.08
"""Share by which a rate may be off: of a window Prometheus sees what lies between two scrapes, and extends it
to the ends, by half an interval only where a scrape came late. That is two seconds of 25."""


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request that a sidecar saw."""

    source: str
    workload: str
    service: str
    status: int
    at: float
    """CLOCK_MONOTONIC, when it was answered."""
    latency_ms: float
    is_bound: bool = False
    """The latency is of something that contains it."""
    version: str = "v1"
    flags: str = "-"
    request_bytes: int = 0
    response_bytes: int = 0

    @property
    def is_failed(self) -> bool:
        return self.status == 0 or self.status >= 500


@dataclass(frozen=True, slots=True)
class Connection:
    """One TCP connection."""

    opened_at: float
    closed_at: float
    sent: int
    """By the client."""
    received: int


@dataclass(frozen=True, slots=True)
class SidecarFacts:
    """Of one pod, from the kernel and from its certificate."""

    pod: str
    memory: float
    """Bytes."""
    cpu: float
    """Cores in use."""
    expires_at: float
    """Unix time."""


@dataclass(slots=True)
class Truth:
    """Everything of one window."""

    since: float
    until: float
    """CLOCK_MONOTONIC, like all times but those of certificates."""
    made: list[Call] = field(default_factory=list)
    """As clients saw them."""
    served: list[Call] = field(default_factory=list)
    """As servers saw them: each attempt."""
    connections: list[Connection] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    """When connections without a certificate were refused."""
    forged: list[tuple[float, str]] = field(default_factory=list)
    """When certificates were asked for with a token that is none, and what came of it."""
    changes: list[float] = field(default_factory=list)
    """When routes were changed."""
    slowest_change: float = 0.0
    """Seconds until all sidecars had it."""
    sidecars: list[SidecarFacts] = field(default_factory=list)
    evaluated_at: float = 0.0
    """Unix time."""
    load: str = "load"
    """Name of the pod of which `sidecars` tells most."""

    @property
    def seconds(self) -> float:
        return self.until - self.since

    def within(self, calls: Iterable[Call]) -> list[Call]:
        """Those answered in the window."""
        return [call for call in calls if self.since <= call.at < self.until]

    def count(self, times: Iterable[float]) -> int:
        """How many lie in the window."""
        return sum(self.since <= at < self.until for at in times)

    def rate(self, count: float) -> Measure:
        """Per second; an event more or less at each end."""
        return near(count / self.seconds, RATE_SLACK, 2 / self.seconds)

    def rates(self, calls: Iterable[Call], by: Callable[[Call], Labels] | None = None) -> Expected:
        """Calls per second, by labels; 0 without labels when there were none."""
        counts = Counter(frozenset() if by is None else by(call) for call in self.within(calls))
        return {key: self.rate(count) for key, count in counts.items()} or only(self.rate(0))

    def success(self, calls: Iterable[Call]) -> Expected:
        """Share that did not fail."""
        seen = self.within(calls)
        failed = sum(call.is_failed for call in seen)
        return only(near(1 - failed / len(seen), 0, max(0.02 * (failed > 0), 1e-9)))


def add_ledgers(truth: Truth, catalog: Ledger, web: Ledger, fickle: Ledger, note: str) -> None:
    """What the load generators say, and what follows from it for the pods behind."""
    for record in catalog.records:
        call = _catalog_call("load", record.version, record.status, record.answered_at, record.latency_ms)
        truth.made.append(call)
        truth.served.append(call)
    for record in web.records:
        at, latency = record.answered_at, record.latency_ms
        inner = [
            Call("load", "web", "web", record.status, at, latency),
            _catalog_call("web", record.version, 200, at, latency, is_bound=True),
            Call(f"catalog-{record.version}", "inventory", "inventory", 200, at, latency, is_bound=True),
        ]
        truth.made += inner
        truth.served += inner
    for record in fickle.records:
        body = {"id": fickle.order_id(record), "note": note}
        path = FICKLE_REQUESTS[record.request]
        truth.made.append(
            Call(
                *("load", "fickle", "fickle", record.status, record.answered_at, record.latency_ms),
                flags="URX" if record.status == 503 else "-",
                request_bytes=len(json.dumps(body)) if path.startswith("POST") else 0,
                response_bytes=FICKLE_BODY,
            )
        )


FICKLE_BODY = 1000
FICKLE_REQUESTS = (
    *("POST /echo", "GET /unsteady", "GET /slow", "POST /echo", "GET /broken", "POST /echo", "GET /down"),
    *("POST /echo", "GET /unsteady", "GET /unsteady"),
)
"""In an order in which never five in a row fail, for which its endpoint would be ejected."""
_QUICK_MS, _SLOW_MS = 1.0, 120.0


def add_fickle_ledger(truth: Truth, records: Sequence[Sequence[object]]) -> None:
    """What the fickle server answered: `[[finished_at, path, status], …]`."""
    for at, path, status in records:
        latency = _SLOW_MS if path == "/slow" else _QUICK_MS
        truth.served.append(
            Call(
                "load",
                "fickle",
                "fickle",
                int(str(status)),
                float(str(at)),
                latency,
                is_bound=path != "/slow",
            )
        )


def add_lost_ledger(truth: Truth, ledger: Ledger) -> None:
    """Requests to an endpoint where nobody listens."""
    for record in ledger.records:
        at, latency = record.answered_at, record.latency_ms
        truth.made.append(Call(LOST, "unknown", "nowhere", record.status, at, latency, flags="UF"))


def _catalog_call(
    source: str, version: str, status: int, at: float, latency: float, *, is_bound: bool = False
) -> Call:
    name = f"catalog-{version}"
    return Call(source, name, name, status, at, latency, is_bound, version)
