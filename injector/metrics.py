"""The app's metrics and the sidecar's in one scrape (pure): whom Prometheus' annotations send it to.

By convention `prometheus.io/scrape`, `/port`, `/path` and `/scheme` say where a pod is scraped. They are
turned to the sidecar's port 15020, which asks the app where they said, and answers with both.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from injector.manifest import Manifest, objects
from injector.probes import STATUS_PORT

METRICS_VARIABLE: Final = "MESHPROXY_APP_METRICS"
METRICS_PATH: Final = "/stats/prometheus"
_PREFIX: Final = "prometheus.io/"
ANNOTATIONS: Final = tuple(f"{_PREFIX}{name}" for name in ("scrape", "port", "path", "scheme"))


@dataclass(frozen=True, slots=True)
class AppMetrics:
    """What the annotations say of the app's metrics."""

    variable: str = ""
    """The value of `METRICS_VARIABLE`; empty when the app has none to show."""
    warnings: tuple[str, ...] = ()
    """The annotations are a convention and none of ours: what is wrong with them refuses no pod."""


def app_metrics(annotations: Mapping[str, str], spec: Manifest) -> AppMetrics:
    """Without a port it is the first that a container declares."""
    scrape, port, path, scheme = (annotations.get(name, "").strip() for name in ANNOTATIONS)
    if scrape != "true":
        return AppMetrics()
    port = port or _first_port(spec)
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        return _left_out(f"port: {port!r} is not a port; use a number from 1 to 65535")
    if scheme not in ("", "http", "https"):
        return _left_out(f"scheme: {scheme!r} is neither http nor https; use one of them")
    if int(port) == STATUS_PORT:
        return AppMetrics()
    asked = {"port": int(port), "path": path or "/metrics", "scheme": scheme or "http"}
    return AppMetrics(json.dumps(asked, separators=(",", ":")).replace("$", "\\u0024"))


def _left_out(reason: str) -> AppMetrics:
    return AppMetrics("", (f"the app's metrics are not scraped: annotation {_PREFIX}{reason}",))


def turned_to_sidecar(annotations: Mapping[str, str]) -> dict[str, str]:
    """The annotations by which Prometheus finds the sidecar; none when the pod says it is not scraped."""
    if annotations.get(ANNOTATIONS[0], "true").strip() != "true":
        return {}
    values = ("true", str(STATUS_PORT), METRICS_PATH, "http")
    given = dict(zip(ANNOTATIONS, values, strict=True))
    if ANNOTATIONS[3] not in annotations:
        del given[ANNOTATIONS[3]]
    return given


def _first_port(spec: Manifest) -> str:
    for container in objects(spec, "containers"):
        for port in objects(container, "ports"):
            if port.get("protocol", "TCP") == "TCP":
                return str(port.get("containerPort"))
    return ""
