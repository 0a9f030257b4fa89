"""The load generator's ledger: what became of every request (pure)."""

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Record(NamedTuple):
    """One request, as `examples/shop/load.py` writes it."""

    number: int
    request: int
    """Index of the kind of request among those the load was given."""
    due_at: float
    """CLOCK_MONOTONIC, seconds."""
    latency_ms: float
    status: int
    """0: no response came."""
    version: str
    """Of the program that answered."""
    failure: str
    """Why no response came."""

    @property
    def answered_at(self) -> float:
        return self.due_at + self.latency_ms / 1000


@dataclass(frozen=True, slots=True)
class Ledger:
    """One run, in the order of sending."""

    run: str
    records: tuple[Record, ...]

    @classmethod
    def parse(cls, text: str) -> "Ledger":
        """Raises ValueError for anything but the load generator's JSON."""
        try:
            content = json.loads(text)
            records = sorted(Record(*entry) for entry in content["records"])
            return cls(content["run"], tuple(records))
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a ledger: {text[:200]!r}") from error

    def order_id(self, record: Record) -> str:
        """The id that a POST carried."""
        return f"{self.run}-{record.number}"

    def of_kind(self, request: int) -> tuple[Record, ...]:
        """The records of one kind of request."""
        return tuple(record for record in self.records if record.request == request)

    def between(self, since: float, until: float = math.inf) -> tuple[Record, ...]:
        """Those that were due in a span of time."""
        return tuple(record for record in self.records if since <= record.due_at < until)

    def by_status_and_version(self) -> Counter[tuple[str, ...]]:
        """How many, by status and version, as the metrics' labels have them."""
        return Counter((str(record.status), record.version) for record in self.records)


def failures(records: Iterable[Record], expected: Collection[int] = (200, 201)) -> list[Record]:
    """Those without a response, or with a status that is not expected."""
    return [record for record in records if record.failure or record.status not in expected]


def describe_failures(failed: Collection[Record]) -> str:
    """`0 failed`, or how many and why."""
    if not failed:
        return "0 failed"
    reasons = Counter(record.failure or f"status {record.status}" for record in failed)
    return f"{len(failed)} failed ({', '.join(f'{count} x {why}' for why, count in reasons.most_common(3))})"


def share(records: Collection[Record], version: str) -> float:
    """Percent of the records that `version` answered."""
    return 100.0 * sum(record.version == version for record in records) / max(1, len(records))


def percentile(records: Collection[Record], fraction: float) -> float:
    """Latency in ms below which `fraction` of the requests were answered (nearest rank); 0 without any."""
    latencies = sorted(record.latency_ms for record in records if not record.failure)
    return latencies[max(0, math.ceil(fraction * len(latencies)) - 1)] if latencies else 0.0
