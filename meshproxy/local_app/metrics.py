"""The app's own metrics, asked for when somebody asks us for ours: one scrape has both.

Where they are the injector says in `MESHPROXY_APP_METRICS`, from the pod's `prometheus.io/…` annotations:

    {"port": 8080, "path": "/metrics", "scheme": "http"}

What the app answers is passed on as it is, if it is Prometheus' text format. An app that does not answer
takes nothing from our own metrics: `meshproxy_app_scrape_up` is 0, and the log says why when that changes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from meshproxy.errors import ConfigError, UpstreamError
from meshproxy.local_app.http_get import AppAnswer, get, unverified
from meshproxy.telemetry.exposition import SLICE_CHARACTERS, header, sample
from meshproxy.telemetry.names import APP_SCRAPE_UP

_log = logging.getLogger(__name__)

VARIABLE: Final = "MESHPROXY_APP_METRICS"
SCRAPE_TIMEOUT: Final = 5.0
"""Seconds; half of what Prometheus waits for both by default."""
MAX_BYTES: Final = 8 << 20
_ACCEPT: Final = "text/plain;version=0.0.4"
"""Not OpenMetrics: it has an end of its own, and cannot be put behind ours."""


@dataclass(frozen=True, slots=True)
class MetricsPlace:
    """Where the app shows its metrics."""

    port: int
    path: str = "/metrics"
    is_tls: bool = False


def parse_metrics(text: str) -> MetricsPlace | None:
    """None for empty text: the app has none to show. Raises ConfigError."""
    if not text.strip():
        return None
    try:
        given = json.loads(text)
        unknown = sorted(given.keys() - {"port", "path", "scheme"})
        port, path, scheme = given["port"], given.get("path", "/metrics"), given.get("scheme", "http")
    except (ValueError, AttributeError, KeyError) as error:
        raise ConfigError(
            f'{VARIABLE} {text[:200]!r} is not {{"port": …, "path": …, "scheme": …}}'
        ) from error
    if unknown:
        raise ConfigError(f"{VARIABLE}: unknown field {unknown[0]!r}; known are path, port, scheme")
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise ConfigError(f"{VARIABLE}: port {port!r}: give a number from 1 to 65535")
    if not isinstance(path, str) or scheme not in ("http", "https"):
        raise ConfigError(f"{VARIABLE}: path {path!r}, scheme {scheme!r}: give text, and http or https")
    return MetricsPlace(port, path, scheme == "https")


class AppMetrics:
    """Scrapes of one app; those that come while one is under way share its answer."""

    def __init__(self, pod_ip: str, place: MetricsPlace) -> None:
        self._pod_ip = pod_ip
        self._place = place
        self._tls: ssl.SSLContext | None = unverified() if place.is_tls else None
        self._under_way: asyncio.Future[str] | None = None
        self._failure = ""

    async def scrape(self) -> str:
        """What the app shows, and before it whether it did; ends with a line feed. Never raises."""
        if self._under_way is None:
            self._under_way = asyncio.get_running_loop().create_future()
            try:
                text = await self._ask()
                self._under_way.set_result(text)
                return text
            finally:
                self._under_way.cancel()  # nothing to a future that has its result
                self._under_way = None
        return await asyncio.shield(self._under_way)

    async def _ask(self) -> str:
        place, failure, body = self._place, "", ""
        try:
            async with asyncio.timeout(SCRAPE_TIMEOUT):
                answer = await get(
                    self._pod_ip,
                    place.port,
                    place.path,
                    (("Accept", _ACCEPT), ("User-Agent", "meshproxy")),
                    tls=self._tls,
                    max_body_bytes=MAX_BYTES,
                )
            body = _text(answer)
        except TimeoutError:
            failure = f"no answer within {SCRAPE_TIMEOUT:g} s"
        except UpstreamError as error:
            failure = str(error)
        if failure != self._failure:
            self._failure = failure
            _log.warning("metrics of the app at port %d: %s", place.port, failure or "they are back")
        return header(APP_SCRAPE_UP) + sample(APP_SCRAPE_UP.name, "", 0 if failure else 1) + body


def text_slices(text: str) -> Iterator[str]:
    """`text` in pieces that hold nobody up."""
    return (text[start : start + SLICE_CHARACTERS] for start in range(0, len(text), SLICE_CHARACTERS))


def _text(answer: AppAnswer) -> str:
    """Raises UpstreamError for what is not Prometheus' text format."""
    kind = dict(answer.headers).get("content-type", "text/plain").partition(";")[0].strip().lower()
    if answer.status != 200:
        raise UpstreamError(f"status {answer.status}")
    if kind != "text/plain":
        raise UpstreamError(f"content-type {kind!r} is not text/plain")
    try:
        text = answer.body.decode()
    except UnicodeDecodeError as error:
        raise UpstreamError("the answer is not UTF-8") from error
    return text if text.endswith("\n") or not text else f"{text}\n"
