"""The control plane's own metrics, in Prometheus' text format and under Istio's names, which dashboards
know."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from control_plane.cache import SnapshotCache, Stream
from control_plane.subscription import SyncState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

CONVERGENCE_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0)
"""Seconds. Istio's begin at 0.1, which is where ours should end."""


class Histogram:
    """Counts per bucket, as Prometheus adds them up."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterator[str]:
        total = 0
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum:.9g}"
        yield f"{name}_count {total}"


class ControlPlaneMetrics:
    """Counts what publisher and streams report. All calls on the event loop's thread."""

    def __init__(self, cache: SnapshotCache, monotonic: Callable[[], float]) -> None:
        self._cache = cache
        self._monotonic = monotonic
        self._pushes: Counter[str] = Counter()
        self._rejects: Counter[str] = Counter()
        self._triggers: Counter[str] = Counter()
        self._convergence = Histogram(CONVERGENCE_BUCKETS)
        self._converging: dict[str, float] = {}
        """When the change happened that a node has been sent and has not accepted yet."""
        self.issued: Callable[[], int] = lambda: 0
        """Certificates signed so far."""
        self.refused: Callable[[], Mapping[str, int]] = dict
        """Certificates refused so far, by reason."""

    # --- what is reported -----------------------------------------------------------------------------------

    def on_published(self, node_id: str, changed_at: float) -> None:
        """A new snapshot was set for a node because of a change at `changed_at` (monotonic seconds)."""
        self._converging.setdefault(node_id, changed_at)

    def on_push(self, trigger: str) -> None:
        """All snapshots that change because of something are set."""
        self._triggers[trigger] += 1

    def on_response(self, short_type: str) -> None:
        self._pushes[short_type] += 1

    def on_answer(self, stream: Stream, short_type: str, *, is_refusal: bool) -> None:
        """A node converges when it has accepted everything; a refusal ends the wait without a measurement."""
        if is_refusal:
            self._rejects[short_type] += 1
        changed_at = self._converging.get(stream.node.id)
        if changed_at is None:
            return
        states = {status.state for status in stream.statuses().values()}
        if SyncState.NACKED in states:
            del self._converging[stream.node.id]
        elif SyncState.STALE not in states:
            del self._converging[stream.node.id]
            self._convergence.observe(self._monotonic() - changed_at)

    def on_nothing_to_send(self, stream: Stream) -> None:
        """What changed is nothing that the client asks for: unless an answer is due, nobody waits."""
        states = {status.state for status in stream.statuses().values()}
        if SyncState.STALE not in states and SyncState.SYNCED in states:
            self._converging.pop(stream.node.id, None)

    def forget(self, node_id: str) -> None:
        """The node is gone."""
        self._converging.pop(node_id, None)

    # --- what is shown --------------------------------------------------------------------------------------

    def exposition(self) -> str:
        """Everything, for a scrape."""
        lines = [
            *_head("pilot_xds", "gauge", "Proxies connected."),
            f"pilot_xds {len(self._cache.nodes())}",
            *_counter("pilot_xds_pushes", "Responses sent, by type.", "type", self._pushes),
            *_counter(
                "pilot_total_xds_rejects", "Responses refused by proxies, by type.", "type", self._rejects
            ),
            *_counter("pilot_push_triggers", "What made configuration be built.", "type", self._triggers),
            *_head(
                "pilot_proxy_convergence_time",
                "histogram",
                "Seconds from a change to its acceptance by a proxy.",
            ),
            *self._convergence.lines("pilot_proxy_convergence_time"),
            *_head("citadel_server_success_cert_issuance_count", "counter", "Certificates issued."),
            f"citadel_server_success_cert_issuance_count {self.issued()}",
            *_counter(
                "meshproxy_certificates_refused_total",
                "Certificates refused, by reason.",
                "reason",
                self.refused(),
            ),
        ]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _counter(name: str, text: str, label: str, values: Mapping[str, int]) -> Iterator[str]:
    yield from _head(name, "counter", text)
    for value in sorted(values):
        yield f'{name}{{{label}="{value}"}} {values[value]}'
