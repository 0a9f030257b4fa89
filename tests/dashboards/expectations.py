"""What each panel of each dashboard should show, from the truth (pure)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from control_plane.metrics import CONVERGENCE_BUCKETS
from tests.dashboards.measure import (
    NOTHING,
    Expected,
    Labels,
    Measure,
    exactly,
    labels,
    near,
    of_quantile,
    only,
)
from tests.dashboards.truth import LOST, NAMESPACE, RATE_SLACK, TALKER, Call, Truth

CATALOG, FICKLE, GREETER = "catalog-v1", "fickle", "greeter"
_TALKER = f"spiffe://cluster.local/ns/{NAMESPACE}/sa/{TALKER}"
_FRACTIONS = (0.5, 0.95, 0.99)
_SIDECARS = 7
"""Pods of the shop with a sidecar, with the fickle one."""
_ATTEMPTS = 3
"""Of a request whose connections fail: two retries by default."""
_ISSUED = _SIDECARS + 1
"""The injector has a certificate too."""


@dataclass(frozen=True, slots=True)
class Check:
    """A panel's choices, and what each of its queries should give."""

    expected: Sequence[Expected]
    choices: Mapping[str, str] = field(default_factory=dict)
    shown_by: frozenset[str] | None = None
    """Labels that are compared; None: all."""


Checks = Mapping[str, Check]


def expectations(truth: Truth) -> Mapping[str, Checks]:
    """By dashboard and title."""
    return {
        "meshproxy-mesh": _mesh(truth),
        "meshproxy-service": _service(truth),
        "meshproxy-workload": _workload(truth),
        "meshproxy-control-plane": _control_plane(truth),
    }


def _mesh(truth: Truth) -> Checks:
    made = truth.made
    return {
        "Requests": Check([truth.rates(made)]),
        "Success rate": Check([truth.success(made)]),
        "4xx": Check([truth.rates(call for call in made if 400 <= call.status < 500)]),
        "5xx or no answer": Check([truth.rates(call for call in made if call.is_failed)]),
        "In mutual TLS": Check([only(exactly(1))]),
        "Sidecars connected": Check([only(exactly(_SIDECARS))]),
        "Requests by service": Check([truth.rates(made, _by_service)]),
        "Requests by code": Check([truth.rates(made, lambda call: labels(response_code=str(call.status)))]),
        "Failures by service": Check([truth.rates((call for call in made if call.is_failed), _by_service)]),
        "Median duration by service": Check([_durations_by_service(truth, made, 0.5)]),
        "99th percentile by service": Check([_durations_by_service(truth, made, 0.99)]),
        "TCP bytes sent": Check([{_GREETER: _tcp_rate(truth, _received)}]),
        "TCP bytes received": Check([{_GREETER: _tcp_rate(truth, _sent)}]),
        "TCP connections opened": Check([{_GREETER: _opened(truth)}]),
        "Connections refused": Check(
            [{labels(reason="mtls_required"): truth.rate(truth.count(truth.refused))}]
        ),
    }


def _service(truth: Truth) -> Checks:
    made = [call for call in truth.made if call.service == FICKLE]
    served = [call for call in truth.served if call.service == FICKLE]
    catalog = [call for call in truth.made if call.service == CATALOG]
    seen = truth.within(made)
    fickle = {"namespace": NAMESPACE, "service": FICKLE}
    versions = {"namespace": NAMESPACE, "service": CATALOG}
    greeter = {"namespace": NAMESPACE, "service": GREETER}
    sizes = [
        sum(sizes) / len(seen)
        for sizes in zip(*((c.request_bytes, c.response_bytes) for c in seen), strict=True)
    ]
    return {
        "Requests made": Check([truth.rates(made)], fickle),
        "Success seen by clients": Check([truth.success(made)], fickle),
        "Requests served": Check([truth.rates(served)], fickle),
        "Success of servers": Check([truth.success(served)], fickle),
        "Requests by client and code": Check([truth.rates(catalog, _by_client_and_code)], versions),
        "Requests by version": Check([truth.rates(catalog, _by_version)], versions),
        "Requests by protection": Check([truth.rates(served, _in_mutual_tls)], fickle),
        "Response flags": Check(
            [
                truth.rates(
                    (c for c in made if c.flags != "-"), lambda call: labels(response_flags=call.flags)
                )
            ],
            fickle,
        ),
        "Duration seen by clients": Check([only(_quantile(truth, made, q)) for q in _FRACTIONS], fickle),
        "Duration in servers": Check([only(_quantile(truth, served, q)) for q in _FRACTIONS], fickle),
        "Request body": Check([only(near(sizes[0], 0.05))], fickle),
        "Response body": Check([only(near(sizes[1], 1e-6))], fickle),
        "Bytes": Check([only(_tcp_rate(truth, _received)), only(_tcp_rate(truth, _sent))], greeter),
        "Connections": Check([only(_opened(truth)), only(_opened(truth))], greeter),
    }


def _workload(truth: Truth) -> Checks:
    fickle_made = [call for call in truth.made if call.workload == FICKLE]
    served = [call for call in truth.served if call.workload == FICKLE]
    made = [call for call in truth.made if call.source == "load"]
    fickle = {"namespace": NAMESPACE, "workload": FICKLE}
    load = {"namespace": NAMESPACE, "workload": "load"}
    talker = {"namespace": NAMESPACE, "workload": TALKER}
    lost = [call for call in truth.made if call.source == LOST]
    lost_by = {"namespace": NAMESPACE, "workload": LOST}
    own = next(facts for facts in truth.sidecars if facts.pod.startswith(f"{truth.load}-"))
    pod = labels(pod=own.pod)
    by_pod = frozenset({"pod"})
    retried = len(truth.within(served)) - len(truth.within(fickle_made))
    cluster = labels(cluster=f"outbound|8080||{FICKLE}.{NAMESPACE}.svc.cluster.local")
    questions = truth.rate(truth.count(each.opened_at for each in truth.connections))
    return {
        "Requests served": Check(
            [truth.rates(served, lambda call: labels(source_workload=call.source))], fickle
        ),
        "Success rate inbound": Check([truth.success(served)], fickle),
        "Duration inbound": Check([only(_quantile(truth, served, q)) for q in _FRACTIONS], fickle),
        "TCP connections inbound": Check(
            [{labels(source_principal=_TALKER): _opened(truth)}],
            {"namespace": NAMESPACE, "workload": GREETER},
        ),
        "Requests made": Check([truth.rates(made, _by_service)], load),
        "Success rate outbound": Check([truth.success(made)], load),
        "99th percentile outbound": Check([_durations_by_service(truth, made, 0.99)], load),
        "TCP bytes outbound": Check([{_GREETER: _tcp_rate(truth, _sent)}], talker),
        "Retries": Check([{cluster: truth.rate(retried)}], load),
        "Failed connects": Check(
            [{labels(reason="refused"): truth.rate(_ATTEMPTS * len(truth.within(lost)))}], lost_by
        ),
        "Refused by limits": Check([NOTHING], load),
        "Ejected endpoints": Check([NOTHING], load),
        "Memory": Check([{pod: near(own.memory, 0.1)}], load, by_pod),
        "CPU": Check([{pod: near(own.cpu, 0.25, 0.02)}], load),
        "Certificate expires in": Check(
            [{pod: near(own.expires_at - truth.evaluated_at, 0, 2)}], load, by_pod
        ),
        "DNS questions": Check([{labels(source="mesh"): questions}], talker),
    }


def _control_plane(truth: Truth) -> Checks:
    changes = truth.count(truth.changes)
    soonest = min(facts.expires_at for facts in truth.sidecars)
    slowest = of_quantile([truth.slowest_change], 1, CONVERGENCE_BUCKETS, least=False)
    nothing = Check([NOTHING])
    return {
        "Proxies connected": Check([only(exactly(_SIDECARS))]),
        "Sidecars without control plane": nothing,
        "Targets up": Check(
            [{labels(job="mesh-sidecars"): exactly(_SIDECARS), labels(job="control-plane"): exactly(1)}]
        ),
        "Certificates issued": Check([only(exactly(_ISSUED))]),
        "First certificate to expire": Check([only(near(soonest - truth.evaluated_at, 0, 2))]),
        "Pushes": Check([{labels(type="rds"): _few(truth, changes, _SIDECARS)}]),
        "What made it build": Check([{labels(type="config"): _few(truth, changes, 1)}]),
        "Time to converge": Check([only(slowest), only(slowest)]),
        "Refused by proxies": nothing,
        "Refused by sidecars": nothing,
        "Certificates refused": Check(
            [{labels(reason="malformed"): truth.rate(truth.count(at for at, _ in truth.forged))}]
        ),
    }


# --- how things are grouped ---


def _by_service(call: Call) -> Labels:
    return labels(destination_service_name=call.service, destination_service_namespace=NAMESPACE)


_GREETER = labels(destination_service_name=GREETER, destination_service_namespace=NAMESPACE)


def _by_client_and_code(call: Call) -> Labels:
    return labels(source_workload=call.source, response_code=str(call.status))


def _by_version(call: Call) -> Labels:
    return labels(destination_workload=call.workload, destination_version=call.version)


def _in_mutual_tls(call: Call) -> Labels:
    return labels(source_workload=call.source, connection_security_policy="mutual_tls")


# --- how much ---


def _few(truth: Truth, changes: int, each: int) -> Measure:
    """Of events so rare that one at an end of the window counts."""
    rate = changes * each / truth.seconds
    return near(rate, 1.2 / changes)


def _quantile(truth: Truth, calls: Iterable[Call], fraction: float) -> Measure:
    seen = truth.within(calls)
    return of_quantile([call.latency_ms for call in seen], fraction, least=not any(c.is_bound for c in seen))


def _durations_by_service(truth: Truth, calls: Sequence[Call], fraction: float) -> Expected:
    groups = {_by_service(call) for call in truth.within(calls)}
    return {
        group: _quantile(truth, [call for call in calls if _by_service(call) == group], fraction)
        for group in groups
    }


def _sent(sent: int, received: int) -> int:
    return sent


def _received(sent: int, received: int) -> int:
    return received


def _tcp_rate(truth: Truth, direction: Callable[[int, int], int]) -> Measure:
    seen = [each for each in truth.connections if truth.since <= each.closed_at < truth.until]
    total = sum(direction(each.sent, each.received) for each in seen)
    return near(total / truth.seconds, RATE_SLACK, 2 * total / len(seen) / truth.seconds)


def _opened(truth: Truth) -> Measure:
    return truth.rate(truth.count(each.opened_at for each in truth.connections))
