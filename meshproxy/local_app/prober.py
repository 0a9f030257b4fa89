"""Asks the app what the kubelet would have asked it, and tells the kubelet what came out.

The body of the app's answer goes no further: who may ask us need not be who may read it.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from google.protobuf.message import DecodeError

from control_plane.api.grpc.health.v1 import health_pb2
from meshproxy.errors import UpstreamError
from meshproxy.local_app.http_get import AppAnswer, authority, connect, get, source_address, unverified
from meshproxy.local_app.probe import AppProbe, GrpcProbe, HttpProbe, TcpProbe
from meshproxy.rpc.call import dial, unary

_HEALTH_CHECK: Final = "/grpc.health.v1.Health/Check"
_UNHEALTHY: Final = 503
_MAX_REDIRECTS: Final = 10
"""As the kubelet: it follows an app to another of its own pages, and to no other host."""


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """What the kubelet is answered."""

    status: int
    """The app's own where it speaks HTTP; else 200, or 503."""
    reason: str = ""
    """Why it is not well, for the kubelet's event."""


class Prober:
    """The probes of one pod."""

    def __init__(self, pod_ip: str) -> None:
        self._pod_ip = pod_ip
        self._tls: ssl.SSLContext | None = None

    async def ask(self, probe: AppProbe) -> ProbeOutcome:
        """Ask once. Never raises; lasts `probe.timeout` at most."""
        try:
            async with asyncio.timeout(probe.timeout):
                return await self._ask(probe)
        except TimeoutError:
            return ProbeOutcome(_UNHEALTHY, f"the app did not answer within {probe.timeout:g} s")
        except UpstreamError as error:
            return ProbeOutcome(_UNHEALTHY, str(error))

    async def _ask(self, probe: AppProbe) -> ProbeOutcome:
        match probe.action:
            case HttpProbe() as action:
                return await self._http(action)
            case TcpProbe(port):
                await connect(self._pod_ip, port)
                return ProbeOutcome(200)
            case GrpcProbe(port, service):
                return await self._grpc(port, service, probe.timeout)

    async def _http(self, action: HttpProbe) -> ProbeOutcome:
        tls = self._unverified() if action.is_tls else None
        answer = await get(self._pod_ip, action.port, action.path, action.headers, tls=tls)
        url = f"{'https' if action.is_tls else 'http'}://{authority(self._pod_ip, action.port)}/"
        url = urljoin(url, action.path)
        for _ in range(_MAX_REDIRECTS):
            target = self._redirect(url, answer)
            if target is None:
                return ProbeOutcome(answer.status, "" if answer.status < 400 else "the app's own status")
            url = target
            answer = await self._follow(url, action)
        return ProbeOutcome(_UNHEALTHY, f"redirected {_MAX_REDIRECTS} times, at last to {url}")

    def _redirect(self, url: str, answer: AppAnswer) -> str | None:
        """Where the app sends us, if that is the app again."""
        location = dict(answer.headers).get("location", "")
        if answer.status not in (301, 302, 303, 307, 308) or not location:
            return None
        try:
            target = urljoin(url, location)
            parts = urlsplit(target)
            is_here = parts.scheme in ("http", "https") and parts.hostname == self._pod_ip and parts.port != 0
        except ValueError as error:
            raise UpstreamError(f"redirected to {location!r}, which is no address") from error
        return target if is_here else None

    async def _follow(self, url: str, action: HttpProbe) -> AppAnswer:
        parts = urlsplit(url)
        is_tls = parts.scheme == "https"
        path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        tls = self._unverified() if is_tls else None
        return await get(self._pod_ip, parts.port or (443 if is_tls else 80), path, action.headers, tls=tls)

    async def _grpc(self, port: int, service: str, seconds: float) -> ProbeOutcome:
        call = await dial(authority(self._pod_ip, port), None, source=source_address(self._pod_ip))
        request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
        answer = await unary(call, _HEALTH_CHECK, request, (), seconds)
        try:
            status = health_pb2.HealthCheckResponse.FromString(answer).status
        except DecodeError as error:
            raise UpstreamError("the answer is not a HealthCheckResponse") from error
        if status == health_pb2.HealthCheckResponse.SERVING:
            return ProbeOutcome(200)
        known = health_pb2.HealthCheckResponse.ServingStatus
        name = known.Name(status) if status in known.values() else str(int(status))
        return ProbeOutcome(_UNHEALTHY, f"gRPC service {service!r} is {name}")

    def _unverified(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = unverified()
        return self._tls
