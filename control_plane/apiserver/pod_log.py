"""`pods/{name}/log`: what a container wrote, passed on from the kubelet of its node."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus

import httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from control_plane.apiserver.failure import Failure
from control_plane.apiserver.kubelet import CONNECT_TIMEOUT, ContainerPlace, Kubelets
from control_plane.apiserver.list_options import number
from control_plane.apiserver.watch import WatchStreams
from control_plane.resources.registry import BY_KIND

_PASSED_ON = (
    *("follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream"),
)
_NUMBERS = ("sinceSeconds", "tailLines", "limitBytes")
_LONGEST_REFUSAL = 4096
"""Bytes of a kubelet's error that are told."""


class PodLogs:
    """Serves logs; what is followed ends when `streams` are closed."""

    def __init__(self, kubelets: Kubelets, streams: WatchStreams) -> None:
        self._kubelets = kubelets
        self._streams = streams

    def routes(self) -> list[Route]:
        path = BY_KIND["Pod"].path("{namespace}", "{name}", "log")
        return [Route(path, self._log, methods=["GET"])]

    async def _log(self, request: Request) -> Response:
        query = request.query_params
        for name in _NUMBERS:
            number(query, name)
        if "sinceSeconds" in query and "sinceTime" in query:
            message = "at most one of sinceTime or sinceSeconds may be specified"
            raise Failure(HTTPStatus.UNPROCESSABLE_ENTITY, f'PodLogOptions "" is invalid: {message}')
        names = request.path_params
        place = await self._kubelets.place(names["namespace"], names["name"], query.get("container", ""))
        if place is None:  # as Kubernetes does: a Pod without a node has written nothing
            return PlainTextResponse("")
        passed = {name: query[name] for name in _PASSED_ON if name in query}
        followed = await FollowedLog.open(self._kubelets, place, passed)
        return StreamingResponse(followed.chunks(self._streams), media_type="text/plain")


class FollowedLog:
    """One answer of a kubelet while it is passed on."""

    def __init__(self, client: httpx.AsyncClient, response: httpx.Response) -> None:
        self._client = client
        self._response = response
        self._closing = asyncio.Event()

    @classmethod
    async def open(cls, kubelets: Kubelets, place: ContainerPlace, query: dict[str, str]) -> "FollowedLog":
        """Raises Failure with what the kubelet said, or when it cannot be reached (500)."""
        timeout = httpx.Timeout(CONNECT_TIMEOUT, read=None)  # a container may be silent for ever
        client = httpx.AsyncClient(verify=kubelets.tls(), timeout=timeout, trust_env=False)
        url = f"https://{place.authority}{place.path('containerLogs')}"
        try:
            request = client.build_request("GET", url, params=query, headers={"Accept-Encoding": "identity"})
            response = await client.send(request, stream=True)
            if response.status_code != HTTPStatus.OK:
                raise _refusal(response.status_code, await _beginning(response))
        except httpx.TransportError as exc:
            await client.aclose()
            message = f'Get "{url}": {exc}'
            raise Failure(HTTPStatus.INTERNAL_SERVER_ERROR, message) from exc
        except BaseException:
            await client.aclose()
            raise
        return cls(client, response)

    def close(self) -> None:
        """The server stops."""
        self._closing.set()

    async def _closed(self) -> None:
        await self._closing.wait()

    async def chunks(self, streams: WatchStreams) -> AsyncIterator[bytes]:
        """Until the kubelet ends, the client leaves, or the server stops."""
        streams.add(self)
        closing = asyncio.ensure_future(self._closed())
        chunks = self._response.aiter_raw()
        try:
            while (chunk := await _first_of(chunks, closing)) is not None:
                yield chunk
        except httpx.TransportError:
            return  # the kubelet went away: what there is has been told
        finally:
            streams.discard(self)
            closing.cancel()
            await self._response.aclose()
            await self._client.aclose()


async def _first_of(chunks: AsyncIterator[bytes], closing: asyncio.Future[None]) -> bytes | None:
    """The next chunk; None at the end, or when it is time to close."""
    coming: asyncio.Future[bytes | None] = asyncio.ensure_future(_next(chunks))
    either: set[asyncio.Future[bytes | None] | asyncio.Future[None]] = {coming, closing}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return await coming if coming.done() else None
    finally:
        if not coming.done():
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)


async def _beginning(response: httpx.Response) -> str:
    content = b""
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) >= _LONGEST_REFUSAL:
            break
    return content[:_LONGEST_REFUSAL].decode("utf-8", "replace").strip()


def _refusal(status: int, text: str) -> Failure:
    """What a kubelet says of the request is the answer to it; what it cannot do is our error."""
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND):
        return Failure(HTTPStatus(status), text)
    return Failure(HTTPStatus.INTERNAL_SERVER_ERROR, f"the kubelet answered {status}: {text}")
