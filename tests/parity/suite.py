"""All cases, and the rows of the table of features that they are for."""

from tests.parity.cases import balance, cors, external, filters, limit, match, path, policy, retry, timeout

CASES = (
    *path.CASES,
    *match.CASES,
    *filters.CASES,
    *cors.CASES,
    *external.CASES,
    *timeout.CASES,
    *retry.CASES,
    *limit.CASES,
    *policy.CASES,
    *balance.CASES,
)

ROWS = {
    "3.1": "Path match",
    "3.2": "Header, query, method match",
    "3.3": "Precedence",
    "3.4": "No match, no backend",
    "3.5": "Weighted split",
    "3.6": "Producer and consumer routes",
    "3.7": "Mirroring",
    "3.8": "Redirect",
    "3.9": "Rewrite",
    "3.10": "Header modification",
    "3.11": "CORS",
    "3.12": "Direct response",
    "3.13": "Composition of routes",
    "3.17": "TCP routing",
    "3.18": "TLS passthrough by SNI",
    "3.19": "Subsets",
    "3.20": "External services",
    "3.21": "Ingress gateway",
    "3.30": "Request timeout",
    "3.31": "Timeout of a try",
    "3.32": "Idle timeouts",
    "3.33": "Connect timeout",
    "3.34": "Timeout of request heads",
    "3.35": "Retries",
    "3.36": "Backoff",
    "3.37": "Retry budget",
    "3.38": "Retry buffering limit",
    "3.39": "Retry at another host",
    "3.40": "Hedging",
    "3.41": "Retry metadata",
    "3.42": "Fault injection",
    "3.43": "Circuit limits",
    "3.44": "Outliers: 5xx in a row",
    "3.45": "Outliers: other detectors",
    "3.46": "Circuit breaking",
    "3.47": "Panic threshold",
    "3.48": "Active health checks",
    "3.49": "Fast fail by header",
    "3.50": "Local rate limit",
    "3.51": "Global rate limit",
    "3.52": "Adaptive concurrency",
    "3.53": "Load shedding, failing fast",
    "3.60": "Balancing algorithms",
    "3.61": "Peak EWMA",
    "3.62": "Rate-limit-aware balancing",
    "3.63": "Locality",
    "3.64": "Session affinity",
    "3.65": "Slow start",
    "3.66": "Pools",
    "3.67": "Graceful drain",
}
"""Row -> its feature."""

ABSENT = {
    "3.21": "Gateways have no case yet",
    "3.40": "no resource asks for it",
    "3.41": "no resource asks for attempt counts",
    "3.48": "health checks have no case yet",
    "3.49": "no resource asks for it",
    "3.51": "no resource asks for it",
    "3.52": "no resource asks for it",
    "3.62": "no resource asks for it",
    "3.63": "`loadBalancer.locality` is refused",
}
"""Row -> why no case is for it, or not for all of it."""

ELSEWHERE = {
    "3.20": "tests/contract/test_same_routing.py",
    "3.3": "tests/property/test_route_order.py",
    "3.34": "tests/unit/meshproxy/proxy",
    "3.61": "tests/property/test_balancers.py",
    "3.67": "tests/contract/test_drain.py",
}
"""Row -> where the rest of it is tested, for our data plane alone."""
