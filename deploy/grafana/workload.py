"""One workload: what comes in, what goes out, and how its sidecars are."""

from deploy.grafana.expression import REQUESTS, or_zero, quantile, quantiles, rate, success
from deploy.grafana.panel import Dashboard, Panel, Query, Row, Shape, Unit, Variable

_IN = (
    'reporter="destination"',
    'destination_workload_namespace="$namespace"',
    'destination_workload="$workload"',
)
_OUT = ('reporter="source"', 'source_workload_namespace="$namespace"', 'source_workload="$workload"')
_SIDECARS = ('job="mesh-sidecars"', 'namespace="$namespace"', 'workload="$workload"')
_SERVICE = ("destination_service_namespace", "destination_service_name")
_SERVICE_LEGEND = "{{destination_service_name}}.{{destination_service_namespace}}"
_DURATION = "istio_request_duration_milliseconds"


def _own(metric: str) -> str:
    return f"{metric}{{{','.join(_SIDECARS)}}}"


_INBOUND = Row(
    "Inbound",
    (
        Panel(
            "Requests served",
            "By the workload that called.",
            Unit.PER_SECOND,
            (Query(rate(REQUESTS, *_IN, by=("source_workload",)), "{{source_workload}}"),),
        ),
        Panel(
            "Success rate inbound",
            "Share answered, and not with a 5xx.",
            Unit.SHARE,
            (Query(success(*_IN)),),
            Shape.NUMBER,
        ),
        Panel(
            "Duration inbound",
            "From its sidecar to the program and back.",
            Unit.MILLISECONDS,
            quantiles(_DURATION, *_IN),
        ),
        Panel(
            "TCP connections inbound",
            "Opened, by the identity that called: of TCP a server knows no more. `unknown` is plaintext.",
            Unit.OPERATIONS,
            (
                Query(
                    rate("istio_tcp_connections_opened_total", *_IN, by=("source_principal",)),
                    "{{source_principal}}",
                ),
            ),
        ),
    ),
)
_OUTBOUND = Row(
    "Outbound",
    (
        Panel(
            "Requests made",
            "By the service that was called.",
            Unit.PER_SECOND,
            (Query(rate(REQUESTS, *_OUT, by=_SERVICE), _SERVICE_LEGEND),),
        ),
        Panel(
            "Success rate outbound",
            "After retries.",
            Unit.SHARE,
            (Query(success(*_OUT)),),
            Shape.NUMBER,
        ),
        Panel(
            "99th percentile outbound",
            "By the service that was called.",
            Unit.MILLISECONDS,
            (Query(quantile(0.99, _DURATION, *_OUT, by=_SERVICE), _SERVICE_LEGEND),),
        ),
        Panel(
            "TCP bytes outbound",
            "Sent to services; what came back is on the service's dashboard.",
            Unit.BYTES_PER_SECOND,
            (Query(rate("istio_tcp_received_bytes_total", *_OUT, by=_SERVICE), _SERVICE_LEGEND),),
        ),
        Panel(
            "Retries",
            "Attempts made again, by cluster: each is load that the service did not ask for.",
            Unit.OPERATIONS,
            (
                Query(
                    or_zero(rate("meshproxy_upstream_retries_total", *_SIDECARS, by=("cluster",))),
                    "{{cluster}}",
                ),
            ),
        ),
        Panel(
            "Failed connects",
            "Connections to endpoints that did not come about, by reason.",
            Unit.OPERATIONS,
            (
                Query(
                    or_zero(rate("meshproxy_upstream_connect_failures_total", *_SIDECARS, by=("reason",))),
                    "{{reason}}",
                ),
            ),
        ),
        Panel(
            "Refused by limits",
            "Requests and connections refused by a circuit limit, by limit.",
            Unit.OPERATIONS,
            (
                Query(
                    or_zero(rate("meshproxy_upstream_overflowed_total", *_SIDECARS, by=("limit",))),
                    "{{limit}}",
                ),
            ),
        ),
        Panel(
            "Ejected endpoints",
            "By outlier detection, now.",
            Unit.COUNT,
            (Query(or_zero(f"sum({_own('meshproxy_outlier_ejections_active')})")),),
        ),
    ),
)
_SIDECAR = Row(
    "Sidecars",
    (
        Panel(
            "Memory",
            "Resident, by pod, all processes of its sidecar.",
            Unit.BYTES,
            (Query(_own("meshproxy_resident_memory_bytes"), "{{pod}}"),),
        ),
        Panel(
            "CPU",
            "Cores, by pod.",
            Unit.CORES,
            (Query(rate("meshproxy_cpu_seconds_total", *_SIDECARS, by=("pod",)), "{{pod}}"),),
        ),
        Panel(
            "Certificate expires in",
            "It is renewed long before; below half of its life renewals fail.",
            Unit.SECONDS,
            (Query(f"{_own('meshproxy_certificate_expiry_timestamp_seconds')} - time()", "{{pod}}"),),
        ),
        Panel(
            "DNS questions",
            "Of the program, by where the answer came from.",
            Unit.OPERATIONS,
            (Query(or_zero(rate("meshproxy_dns_requests_total", *_SIDECARS, by=("source",))), "{{source}}"),),
        ),
    ),
)
_SERIES = 'meshproxy_workers_serving{job="mesh-sidecars"}'
DASHBOARD = Dashboard(
    "meshproxy-workload",
    "Workload",
    (_INBOUND, _OUTBOUND, _SIDECAR),
    (
        Variable("namespace", _SERIES, "namespace"),
        Variable("workload", _SERIES.replace("}", ',namespace="$namespace"}'), "workload"),
    ),
)
