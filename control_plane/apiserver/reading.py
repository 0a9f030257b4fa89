"""The HTTP side of reading one kind: get, list and watch."""

from collections.abc import AsyncIterator, Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from control_plane.apiserver.answer import JSON, json_answer
from control_plane.apiserver.failure import Failure
from control_plane.apiserver.list_answer import list_answer
from control_plane.apiserver.list_options import ListOptions, parse_list_options
from control_plane.apiserver.operations import Operations
from control_plane.apiserver.paging import Page, Pages
from control_plane.apiserver.representation import Representation, representation
from control_plane.apiserver.watch import DEFAULT_LIFETIME, Bookmarks, WatchStreams, error_line, event_lines
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import ResourceKind
from control_plane.store.api import EventStream, HistoryGone, Store

_TOO_OLD = "The resourceVersion for the provided list is too old."


class KindReading:
    """What can be read of one kind."""

    def __init__(
        self,
        kind: ResourceKind,
        store: Store,
        operations: Operations,
        streams: WatchStreams,
        pages: Pages,
        now: Callable[[], float],
    ) -> None:
        """`now`: seconds since the epoch, for the ages in tables."""
        self._kind = kind
        self._store = store
        self._operations = operations
        self._streams = streams
        self._pages = pages
        self._now = now

    async def get(self, request: Request, namespace: str, name: str) -> Response:
        form = representation(request, self._kind, self._now, of_list=False)
        manifest = await self._operations.get(self._kind, namespace, name)
        return await json_answer(request, form.one(manifest))

    async def list(self, request: Request, namespace: str) -> Response:
        """A list, or a watch when the query says so."""
        options = parse_list_options(request.query_params, self._kind.kind)
        form = representation(request, self._kind, self._now, of_list=not options.is_watch)
        if options.is_watch:
            return await self._watch(options, form, namespace)
        page = await self._page(options, namespace)
        is_filtered = not options.selection.is_everything
        return await list_answer(request, form, page.items, page.metadata(is_filtered=is_filtered))

    async def _page(self, options: ListOptions, namespace: str) -> Page:
        current = await self._store.list(self._kind.kind, namespace)
        place = (self._kind.kind, namespace)
        if options.token is not None:
            return self._pages.next(*place, options.token, current, options.selection, options.limit)
        self._check_version(options, current.resource_version)
        return self._pages.first(*place, current, options.selection, options.limit)

    def _check_version(self, options: ListOptions, current: int) -> None:
        """Raises Failure for a version that is yet to come (504), or exactly one that is over (410)."""
        since = options.since or 0
        if since > current:
            message = f"Too large resource version: {since}, current: {current}"
            cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            details: Manifest = {"causes": [cause], "retryAfterSeconds": 1}
            raise Failure(HTTPStatus.GATEWAY_TIMEOUT, message, reason="Timeout", details=details)
        if options.is_exact and since < current:
            raise Failure(HTTPStatus.GONE, _TOO_OLD)

    async def _watch(self, options: ListOptions, form: Representation, namespace: str) -> Response:
        since, initial = options.since or 0, list[Manifest]()
        # Absent, or "0": any state will do, so the current one is told first.
        wants_initial = since == 0 if options.initial_events is None else options.initial_events
        if wants_initial or since == 0:
            listing = await self._operations.list(self._kind, namespace, options.selection)
            since = listing.resource_version
            initial = [*listing.items] if wants_initial else []
        try:
            events: EventStream = self._store.events(since, {self._kind.kind})
        except HistoryGone as exc:
            if since > self._store.resource_version:
                raise
            return _stream(_only(error_line(exc)))
        lines = event_lines(
            initial,
            events,
            namespace=namespace,
            selection=options.selection,
            streams=self._streams,
            lifetime=float(options.lifetime or DEFAULT_LIFETIME),
            show=form.of_events(),
            bookmarks=self._bookmarks(options),
        )
        return _stream(lines)

    def _bookmarks(self, options: ListOptions) -> Bookmarks | None:
        if not options.with_bookmarks:
            return None
        empty: Manifest = {"kind": self._kind.kind, "apiVersion": self._kind.api_version}
        return Bookmarks(empty, ends_initial=bool(options.initial_events))


async def _only(line: bytes) -> AsyncIterator[bytes]:
    yield line


def _stream(lines: AsyncIterator[bytes]) -> Response:
    return StreamingResponse(lines, media_type=JSON, headers={"Cache-Control": "no-cache, private"})
