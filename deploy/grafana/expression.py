"""PromQL that several dashboards need (pure)."""

from collections.abc import Iterable

from deploy.grafana.panel import Query

NO_RESPONSE = "0"
"""Istio's response code of a request that was not answered."""
FAILED = f'response_code=~"5..|{NO_RESPONSE}"'
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_RANGE = "[$__rate_interval]"
REQUESTS = "istio_requests_total"


def rate(metric: str, *filters: str, by: Iterable[str] = ()) -> str:
    """Per second, summed over everything but the labels `by`."""
    labels = ", ".join(by)
    grouping = f" by ({labels}) " if labels else ""
    return f"sum{grouping}(rate({metric}{selector(filters)}{_RANGE}))"


def selector(filters: Iterable[str]) -> str:
    """`{a="b",c="d"}`; empty for none."""
    text = ",".join(filters)
    return f"{{{text}}}" if text else ""


def or_zero(expression: str) -> str:
    """Counters of what has never happened have no series: that is 0, and not `No data`."""
    return f"{expression} or on() vector(0)"


def success(*filters: str) -> str:
    """Share of requests that were answered, and not with a 5xx."""
    failed = rate(REQUESTS, *filters, FAILED)
    total = rate(REQUESTS, *filters)
    return f"1 - ({or_zero(failed)}) / {total}"


def average(metric: str, *filters: str) -> str:
    """Of a histogram."""
    return f"{rate(f'{metric}_sum', *filters)} / {rate(f'{metric}_count', *filters)}"


def quantile(fraction: float, metric: str, *filters: str, by: Iterable[str] = ()) -> str:
    """Of a histogram, by the labels `by`."""
    buckets = rate(f"{metric}_bucket", *filters, by=("le", *by))
    return f"histogram_quantile({fraction:g}, {buckets})"


def quantiles(metric: str, *filters: str) -> tuple[Query, ...]:
    """The middle and both ends that matter."""
    return tuple(Query(quantile(fraction, metric, *filters), name) for name, fraction in QUANTILES.items())
