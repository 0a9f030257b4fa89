"""The control plane: who is connected, what it sends, how soon that holds, and the certificates."""

from deploy.grafana.expression import or_zero, quantile, rate
from deploy.grafana.panel import Dashboard, Panel, Query, Row, Shape, Unit

_STATE = Row(
    "State",
    (
        Panel(
            "Proxies connected",
            "As the control plane counts its streams.",
            Unit.COUNT,
            (Query("sum(pilot_xds)"),),
            Shape.NUMBER,
        ),
        Panel(
            "Sidecars without control plane",
            "They serve what they know. Look at the control plane's log, and at the network between.",
            Unit.COUNT,
            (Query(or_zero("count(meshproxy_xds_connected == 0)")),),
            Shape.NUMBER,
        ),
        Panel(
            "Targets up",
            "What Prometheus reaches, by job.",
            Unit.COUNT,
            (Query('sum by (job) (up{job=~"mesh-sidecars|control-plane"})', "{{job}}"),),
            Shape.NUMBER,
        ),
        Panel(
            "Certificates issued",
            "Since the control plane's start.",
            Unit.COUNT,
            (Query("sum(citadel_server_success_cert_issuance_count)"),),
            Shape.NUMBER,
        ),
        Panel(
            "First certificate to expire",
            "Of all sidecars. Certificates are renewed long before.",
            Unit.SECONDS,
            (Query("min(meshproxy_certificate_expiry_timestamp_seconds) - time()"),),
            Shape.NUMBER,
        ),
    ),
)
_CONFIGURATION = Row(
    "Configuration",
    (
        Panel(
            "Pushes",
            "Responses sent to proxies, by type.",
            Unit.OPERATIONS,
            (Query(rate("pilot_xds_pushes", by=("type",)), "{{type}}"),),
        ),
        Panel(
            "What made it build",
            "By kind of change.",
            Unit.OPERATIONS,
            (Query(rate("pilot_push_triggers", by=("type",)), "{{type}}"),),
        ),
        Panel(
            "Time to converge",
            "Seconds from a change to its acceptance by a proxy.",
            Unit.SECONDS,
            (
                Query(quantile(0.5, "pilot_proxy_convergence_time"), "p50"),
                Query(quantile(0.99, "pilot_proxy_convergence_time"), "p99"),
            ),
        ),
        Panel(
            "Refused by proxies",
            "As the control plane counts answers. `meshctl proxy-status` names the proxy and why.",
            Unit.OPERATIONS,
            (Query(or_zero(rate("pilot_total_xds_rejects", by=("type",))), "{{type}}"),),
        ),
        Panel(
            "Refused by sidecars",
            "The same, as sidecars count it; they keep what they had.",
            Unit.OPERATIONS,
            (Query(or_zero(rate("meshproxy_xds_update_rejected_total", by=("type",))), "{{type}}"),),
        ),
        Panel(
            "Certificates refused",
            "By reason; docs/certificates.md says what each means.",
            Unit.OPERATIONS,
            (Query(or_zero(rate("meshproxy_certificates_refused_total", by=("reason",))), "{{reason}}"),),
        ),
    ),
)
DASHBOARD = Dashboard("meshproxy-control-plane", "Control plane", (_STATE, _CONFIGURATION))
