"""One service: its clients' view, its servers' view, and how they differ."""

from deploy.grafana.expression import REQUESTS, average, or_zero, quantiles, rate, success
from deploy.grafana.panel import Dashboard, Panel, Query, Row, Shape, Unit, Variable

_OF = ('destination_service_namespace="$namespace"', 'destination_service_name="$service"')
_SOURCE = ('reporter="source"', *_OF)
_DESTINATION = ('reporter="destination"', *_OF)
_DURATION = "istio_request_duration_milliseconds"

_TOTALS = Row(
    "Overview",
    (
        Panel(
            "Requests made",
            "As its clients' sidecars count them, per second.",
            Unit.PER_SECOND,
            (Query(rate(REQUESTS, *_SOURCE)),),
            Shape.NUMBER,
        ),
        Panel(
            "Success seen by clients",
            "Share answered, and not with a 5xx, after retries.",
            Unit.SHARE,
            (Query(success(*_SOURCE)),),
            Shape.NUMBER,
        ),
        Panel(
            "Requests served",
            "As its own sidecars count them; more than made: clients without a sidecar, or retries.",
            Unit.PER_SECOND,
            (Query(rate(REQUESTS, *_DESTINATION)),),
            Shape.NUMBER,
        ),
        Panel(
            "Success of servers",
            "Below what clients see where retries help; above it where requests do not arrive.",
            Unit.SHARE,
            (Query(success(*_DESTINATION)),),
            Shape.NUMBER,
        ),
    ),
)
_WHO = Row(
    "Who calls and who answers",
    (
        Panel(
            "Requests by client and code",
            "By the workload that called.",
            Unit.PER_SECOND,
            (
                Query(
                    rate(REQUESTS, *_SOURCE, by=("source_workload", "response_code")),
                    "{{source_workload}} {{response_code}}",
                ),
            ),
        ),
        Panel(
            "Requests by version",
            "How traffic is split between workloads and their versions.",
            Unit.PER_SECOND,
            (
                Query(
                    rate(REQUESTS, *_SOURCE, by=("destination_workload", "destination_version")),
                    "{{destination_workload}} {{destination_version}}",
                ),
            ),
        ),
        Panel(
            "Requests by protection",
            "`mutual_tls`, or `none` for plaintext, as its sidecars see it.",
            Unit.PER_SECOND,
            (
                Query(
                    rate(REQUESTS, *_DESTINATION, by=("source_workload", "connection_security_policy")),
                    "{{source_workload}} {{connection_security_policy}}",
                ),
            ),
        ),
        Panel(
            "Response flags",
            "Why sidecars ended requests themselves; Envoy's letters.",
            Unit.PER_SECOND,
            (
                Query(
                    or_zero(rate(REQUESTS, *_SOURCE, 'response_flags!="-"', by=("response_flags",))),
                    "{{response_flags}}",
                ),
            ),
        ),
    ),
)
_TIME_AND_SIZE = Row(
    "Duration and size",
    (
        Panel(
            "Duration seen by clients",
            "With the network, retries and both sidecars.",
            Unit.MILLISECONDS,
            quantiles(_DURATION, *_SOURCE),
        ),
        Panel(
            "Duration in servers",
            "From its sidecar to the program and back.",
            Unit.MILLISECONDS,
            quantiles(_DURATION, *_DESTINATION),
        ),
        Panel(
            "Request body",
            "Mean size.",
            Unit.BYTES,
            (Query(average("istio_request_bytes", *_SOURCE)),),
        ),
        Panel(
            "Response body",
            "Mean size.",
            Unit.BYTES,
            (Query(average("istio_response_bytes", *_SOURCE)),),
        ),
    ),
)
_TCP = Row(
    "TCP",
    (
        Panel(
            "Bytes",
            "Of connections to it, by direction.",
            Unit.BYTES_PER_SECOND,
            (
                Query(rate("istio_tcp_sent_bytes_total", *_SOURCE), "to clients"),
                Query(rate("istio_tcp_received_bytes_total", *_SOURCE), "from clients"),
            ),
        ),
        Panel(
            "Connections",
            "Opened and closed per second.",
            Unit.OPERATIONS,
            (
                Query(rate("istio_tcp_connections_opened_total", *_SOURCE), "opened"),
                Query(rate("istio_tcp_connections_closed_total", *_SOURCE), "closed"),
            ),
        ),
    ),
)
_SERIES = '{__name__=~"istio_requests_total|istio_tcp_connections_opened_total"}'
DASHBOARD = Dashboard(
    "meshproxy-service",
    "Service",
    (_TOTALS, _WHO, _TIME_AND_SIZE, _TCP),
    (
        Variable("namespace", _SERIES, "destination_service_namespace"),
        Variable(
            "service",
            _SERIES.replace("}", ',destination_service_namespace="$namespace"}'),
            "destination_service_name",
        ),
    ),
)
