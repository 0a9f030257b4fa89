"""Descriptors of a request for rate limits: what its identity, address and headers say (pure). [4]

Each list of actions (`envoy.config.route.v3.RateLimit`) makes one descriptor, a tuple of (key, value), or
none when one of its values is missing. The client's identity is the one its certificate proved; what a
request says about itself in `x-forwarded-client-cert` is never asked.
"""

from __future__ import annotations

from collections.abc import Callable

from meshproxy.config.http_filter import (
    DescribeAddress,
    DescribeHeader,
    DescribePrincipal,
    DescriptorAction,
)
from meshproxy.filters.api import FilteredRequest
from meshproxy.filters.message_field import first_value
from meshproxy.routing.request_facts import pseudo_value

Entry = tuple[str, str]
Descriptor = tuple[Entry, ...]
_REMOTE_ADDRESS = "remote_address"
_Reader = Callable[[FilteredRequest], Entry | None]


class DescriptorMaker:
    """One list of actions, compiled."""

    __slots__ = ("_readers",)

    def __init__(self, actions: tuple[DescriptorAction, ...]) -> None:
        self._readers = tuple((_reader(action), _may_skip(action)) for action in actions)

    def make(self, request: FilteredRequest) -> Descriptor | None:
        entries = []
        for read, may_skip in self._readers:
            entry = read(request)
            if entry is not None:
                entries.append(entry)
            elif not may_skip:
                return None
        return tuple(entries)


def _may_skip(action: DescriptorAction) -> bool:
    return isinstance(action, DescribeHeader | DescribePrincipal) and action.skip_if_absent


def _reader(action: DescriptorAction) -> _Reader:
    if isinstance(action, DescribeHeader):
        return _header_reader(action)
    if isinstance(action, DescribePrincipal):
        key = action.key
        return lambda request: (key, request.principal) if request.principal else None
    if isinstance(action, DescribeAddress):
        return lambda request: (_REMOTE_ADDRESS, request.peer_address) if request.peer_address else None
    entry = (action.key, action.value)
    return lambda request: entry


def _header_reader(action: DescribeHeader) -> _Reader:
    key, name = action.key, action.name.encode()

    def read(request: FilteredRequest) -> Entry | None:
        head = request.head
        value = pseudo_value(head, name) if name.startswith(b":") else first_value(head.headers, name)
        return None if value is None else (key, value.decode("latin-1"))

    return read
