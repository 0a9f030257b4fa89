"""Everything the HTTP/1.1 codec remembers, per worker (pure). [3]

Two levels: whole heads (identical bytes have an identical result), and single lines for heads that are new
as a whole. Lines do not depend on limits; heads do, so each set of limits has its own tables.
"""

from __future__ import annotations

from typing import Final, TypeVar

from meshproxy.http.bounded_memory import MAX_KEPT_HEAD, BoundedMemory, ParsedMemory
from meshproxy.http.events import RequestHead
from meshproxy.http.field_line import Field, parse_request_field, parse_response_field
from meshproxy.http.limits import HeadLimits
from meshproxy.http.request_head import RequestHeads
from meshproxy.http.response_head import KnownResponse, ResponseHeads
from meshproxy.http.start_line import RequestLine, StatusLine, parse_request_line, parse_status_line

T = TypeVar("T")

_MAX_LIMIT_SETS: Final = 8
"""Tables for different limits kept at once; listeners seldom use more than one set."""


class HeadMemory:
    """Give one to all readers of a worker. Bounded by about 10 MB when hostile peers fill every table."""

    def __init__(self) -> None:
        self.request_lines: ParsedMemory[RequestLine] = ParsedMemory(
            parse_request_line, max_entries=1024, max_bytes=131072, max_key=1024
        )
        self.request_fields: ParsedMemory[Field] = ParsedMemory(
            parse_request_field, max_entries=2048, max_bytes=262144, max_key=2048
        )
        self.status_lines: ParsedMemory[StatusLine] = ParsedMemory(
            parse_status_line, max_entries=128, max_bytes=8192, max_key=128
        )
        self.response_fields: ParsedMemory[Field] = ParsedMemory(
            parse_response_field, max_entries=2048, max_bytes=262144, max_key=2048
        )
        self._requests: dict[HeadLimits, RequestHeads] = {}
        self._responses: dict[HeadLimits, ResponseHeads] = {}

    def requests(self, limits: HeadLimits) -> RequestHeads:
        """Request heads parsed under `limits`."""
        found = self._requests.get(limits)
        if found is None:
            memory: BoundedMemory[RequestHead] = BoundedMemory(
                max_entries=1024, max_bytes=262144, max_key=MAX_KEPT_HEAD
            )
            found = RequestHeads(memory, self.request_lines, self.request_fields, limits)
            _keep(self._requests, limits, found)
        return found

    def responses(self, limits: HeadLimits) -> ResponseHeads:
        """Response heads parsed under `limits`."""
        found = self._responses.get(limits)
        if found is None:
            memory: BoundedMemory[KnownResponse] = BoundedMemory(
                max_entries=1024, max_bytes=262144, max_key=MAX_KEPT_HEAD
            )
            found = ResponseHeads(memory, self.status_lines, self.response_fields, limits)
            _keep(self._responses, limits, found)
        return found


def _keep(tables: dict[HeadLimits, T], limits: HeadLimits, table: T) -> None:
    """Readers that use a table dropped here go on using it; it is freed with the last of them."""
    if len(tables) >= _MAX_LIMIT_SETS:
        del tables[next(iter(tables))]
    tables[limits] = table
