"""The mesh as a whole: how much, how well, how safe."""

from deploy.grafana.expression import FAILED, REQUESTS, or_zero, quantile, rate, success
from deploy.grafana.panel import Dashboard, Panel, Query, Row, Shape, Unit

_SOURCE = 'reporter="source"'
_DESTINATION = 'reporter="destination"'
_MUTUAL = 'connection_security_policy="mutual_tls"'
_SERVICE = ("destination_service_namespace", "destination_service_name")
_LEGEND = "{{destination_service_name}}.{{destination_service_namespace}}"
_DURATION = "istio_request_duration_milliseconds"

_TOTALS = Row(
    "All traffic",
    (
        Panel(
            "Requests",
            "HTTP requests that clients in the mesh made, per second.",
            Unit.PER_SECOND,
            (Query(rate(REQUESTS, _SOURCE)),),
            Shape.NUMBER,
        ),
        Panel(
            "Success rate",
            "Share of requests that were answered, and not with a 5xx.",
            Unit.SHARE,
            (Query(success(_SOURCE)),),
            Shape.NUMBER,
        ),
        Panel(
            "4xx",
            "Requests answered with a 4xx, per second: mostly the clients' doing.",
            Unit.PER_SECOND,
            (Query(or_zero(rate(REQUESTS, _SOURCE, 'response_code=~"4.."'))),),
            Shape.NUMBER,
        ),
        Panel(
            "5xx or no answer",
            "Failed requests per second; the panels below say whose.",
            Unit.PER_SECOND,
            (Query(or_zero(rate(REQUESTS, _SOURCE, FAILED))),),
            Shape.NUMBER,
        ),
        Panel(
            "In mutual TLS",
            "Share of served requests that came over mutual TLS. Below 1 somebody still calls in plaintext.",
            Unit.SHARE,
            (Query(f"({or_zero(rate(REQUESTS, _DESTINATION, _MUTUAL))}) / {rate(REQUESTS, _DESTINATION)}"),),
            Shape.NUMBER,
        ),
        Panel(
            "Sidecars connected",
            "Sidecars that have a stream to the control plane. The others go on with what they know.",
            Unit.COUNT,
            (Query("sum(meshproxy_xds_connected)"),),
            Shape.NUMBER,
        ),
    ),
)
_SERVICES = Row(
    "HTTP by service",
    (
        Panel(
            "Requests by service",
            "As clients count them.",
            Unit.PER_SECOND,
            (Query(rate(REQUESTS, _SOURCE, by=_SERVICE), _LEGEND),),
        ),
        Panel(
            "Requests by code",
            "0 is a request that was not answered.",
            Unit.PER_SECOND,
            (Query(rate(REQUESTS, _SOURCE, by=("response_code",)), "{{response_code}}"),),
        ),
        Panel(
            "Failures by service",
            "5xx or no answer, as clients count them.",
            Unit.PER_SECOND,
            (Query(or_zero(rate(REQUESTS, _SOURCE, FAILED, by=_SERVICE)), _LEGEND),),
        ),
        Panel(
            "Median duration by service",
            "From a request's first byte to its answer's last, as the client's sidecar sees it.",
            Unit.MILLISECONDS,
            (Query(quantile(0.5, _DURATION, _SOURCE, by=_SERVICE), _LEGEND),),
        ),
        Panel(
            "99th percentile by service",
            "One request in a hundred takes longer.",
            Unit.MILLISECONDS,
            (Query(quantile(0.99, _DURATION, _SOURCE, by=_SERVICE), _LEGEND),),
        ),
    ),
)
_TCP = Row(
    "TCP and refusals",
    (
        Panel(
            "TCP bytes sent",
            "To clients, by service.",
            Unit.BYTES_PER_SECOND,
            (Query(rate("istio_tcp_sent_bytes_total", _SOURCE, by=_SERVICE), _LEGEND),),
        ),
        Panel(
            "TCP bytes received",
            "From clients, by service.",
            Unit.BYTES_PER_SECOND,
            (Query(rate("istio_tcp_received_bytes_total", _SOURCE, by=_SERVICE), _LEGEND),),
        ),
        Panel(
            "TCP connections opened",
            "By service.",
            Unit.OPERATIONS,
            (Query(rate("istio_tcp_connections_opened_total", _SOURCE, by=_SERVICE), _LEGEND),),
        ),
        Panel(
            "Connections refused",
            "By sidecars, with the reason: plaintext under strict mutual TLS, an unknown peer, a limit.",
            Unit.OPERATIONS,
            (Query(or_zero(rate("meshproxy_connections_refused_total", by=("reason",))), "{{reason}}"),),
        ),
    ),
)
DASHBOARD = Dashboard("meshproxy-mesh", "Mesh", (_TOTALS, _SERVICES, _TCP))
