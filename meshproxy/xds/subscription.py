"""The client's side of ADS, state of the world (pure): what to ask for, what was accepted, how to answer.

Listeners and clusters are asked for as a whole, and the name table where DNS is answered here; routes by the
names that accepted listeners refer to, endpoints by the names that accepted clusters refer to. A response is
acknowledged with its version, or refused with the last good version and `error_detail`; what was accepted
before stays. `AdsState` outlives streams, a `Cursor` lives and dies with one: nonces mean nothing on another
stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from google.rpc.code_pb2 import INVALID_ARGUMENT
from google.rpc.status_pb2 import Status

from control_plane.api.envoy.config.core.v3.base_pb2 import Node
from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from meshproxy.config.model import Cluster, ClusterType, FilterChain, HttpConnectionManager, Listener
from meshproxy.config.tls import EdgeTls
from meshproxy.xds.translate import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    NAME_TABLE_TYPE,
    ROUTE_TYPE,
    SECRET_TYPE,
    SHORT_NAMES,
    Accepted,
)

_CHILDREN: Final = {CLUSTER_TYPE: (ENDPOINT_TYPE,), LISTENER_TYPE: (ROUTE_TYPE, SECRET_TYPE)}
_PARENT: Final = {child: parent for parent, children in _CHILDREN.items() for child in children}

_MAX_REASON_LENGTH = 4096
"""Characters of `error_detail`; it travels in an HTTP/2 message and into logs and status pages."""


@dataclass(slots=True)
class TypeState:
    """What is known of one resource type."""

    accepted: dict[str, Accepted] = field(default_factory=dict)
    """By resource name."""
    version: str = ""
    """Of the last response that was accepted; empty before the first."""
    has_response: bool = False
    """Whether any response was accepted: tells "none" from "not yet"."""
    updates: int = 0
    rejected: int = 0
    last_rejection: str = ""
    """Why the last refused response was refused; empty again after an accepted one."""


@dataclass(slots=True)
class Cursor:
    """One stream's place."""

    number: int = 0
    """Streams in the order in which they were opened."""
    nonces: dict[str, str] = field(default_factory=dict)
    """Last nonce received, by type URL."""
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Last names sent, by type URL; absent while the type was not asked for."""
    answered: dict[str, set[str]] = field(default_factory=dict)
    """Names of the resources received, by the type URLs that were answered at all."""
    refused: set[str] = field(default_factory=set)
    """Type URLs of which a response was refused."""
    is_complete: bool = False
    """Whether everything that is needed has once been told on this stream."""

    def has_told(self, type_url: str, names: frozenset[str] | None) -> bool:
        """Whether all of `names` came on this stream, or any answer where `names` is None; a refusal counts,
        because what was refused is not sent again."""
        if type_url in self.refused:
            return True
        if names is None:
            return type_url in self.answered
        return names <= self.answered.get(type_url, set())


class AdsState:
    """Resources and subscriptions of this sidecar, across streams."""

    def __init__(self, node: Node, *, asks_names: bool = False) -> None:
        """`asks_names`: subscribe to the name table. Nothing waits for it: without it DNS is asked."""
        self._node = node
        self._asks_names = asks_names
        self._streams = 0
        self._newest: Cursor | None = None
        """Of the stream that was opened last, of those that have been answered."""
        self.types: dict[str, TypeState] = {type_url: TypeState() for type_url in SHORT_NAMES}
        """By type URL, for reading only."""
        self._wanted: dict[str, tuple[str, ...]] = {}
        """By child type: what was found since its parents last changed."""

    def open_stream(self) -> tuple[Cursor, list[DiscoveryRequest]]:
        """A new stream and its first requests; only the very first names the node."""
        self._streams += 1
        cursor = Cursor(self._streams)
        requests = [
            self._request(cursor, type_url)
            for type_url in SHORT_NAMES
            if type_url in _CHILDREN or self.wanted(type_url) or self._is_names(type_url)
        ]
        requests[0].node.CopyFrom(self._node)
        return cursor, requests

    def accept(
        self, cursor: Cursor, response: DiscoveryResponse, resources: Mapping[str, Accepted]
    ) -> list[DiscoveryRequest]:
        """Take over the translated resources of `response`; returns the ACK and changed subscriptions."""
        type_url = response.type_url
        state = self.types[type_url]
        if type_url in _CHILDREN:
            state.accepted = dict(resources)
            for child in _CHILDREN[type_url]:
                self._wanted.pop(child, None)
                self._prune(child)
        elif self._is_names(type_url):
            state.accepted = dict(resources)
        else:
            state.accepted.update(resources)
            self._prune(type_url)
        state.version, state.has_response, state.last_rejection = response.version_info, True, ""
        state.updates += 1
        cursor.nonces[type_url] = response.nonce
        cursor.answered.setdefault(type_url, set()).update(resources)
        self._note(cursor)
        return [self._request(cursor, type_url), *self._follow_up(cursor, type_url)]

    def reject(self, cursor: Cursor, response: DiscoveryResponse, reason: str) -> list[DiscoveryRequest]:
        """Keep what there is; returns the NACK."""
        state = self.types[response.type_url]
        state.rejected += 1
        state.last_rejection = reason[:_MAX_REASON_LENGTH]
        cursor.nonces[response.type_url] = response.nonce
        cursor.refused.add(response.type_url)
        self._note(cursor)
        nack = self._request(cursor, response.type_url)
        nack.error_detail.CopyFrom(Status(code=INVALID_ARGUMENT, message=state.last_rejection))
        return [nack]

    def wanted(self, type_url: str) -> tuple[str, ...]:
        """Names to subscribe to, sorted; empty for the types that are asked for as a whole."""
        parent = _PARENT.get(type_url)
        if parent is None:
            return ()
        found = self._wanted.get(type_url)
        if found is None:
            values = (item.value for item in self.types[parent].accepted.values())
            found = tuple(sorted({name for value in values for name in references(value, type_url)}))
            self._wanted[type_url] = found
        return found

    def is_complete(self) -> bool:
        """Whether the newest stream has told everything once.

        A control plane that was away knows nothing of what we hold: it answers each type at once and in any
        order, so that clusters go before the routes that used them. Until it has told all, there is nothing
        consistent to take over.
        """
        return self._newest is None or self._newest.is_complete

    def _is_names(self, type_url: str) -> bool:
        return self._asks_names and type_url == NAME_TABLE_TYPE

    def _note(self, cursor: Cursor) -> None:
        if self._newest is None or cursor.number > self._newest.number:
            self._newest = cursor
        cursor.is_complete = cursor.is_complete or all(map(cursor.has_told, SHORT_NAMES, self._needs()))

    def _needs(self) -> Iterator[frozenset[str] | None]:
        """Names needed of each type; None where whatever is told is all."""
        for type_url in SHORT_NAMES:
            yield None if type_url in _CHILDREN else frozenset(self.wanted(type_url))

    def _prune(self, type_url: str) -> None:
        """Forget resources that nothing accepted refers to any more."""
        wanted = set(self.wanted(type_url))
        accepted = self.types[type_url].accepted
        for name in accepted.keys() - wanted:
            del accepted[name]

    def _follow_up(self, cursor: Cursor, parent: str) -> list[DiscoveryRequest]:
        return [
            self._request(cursor, child)
            for child in _CHILDREN.get(parent, ())
            if self.wanted(child) != cursor.names.get(child, ())
        ]

    def _request(self, cursor: Cursor, type_url: str) -> DiscoveryRequest:
        names = self.wanted(type_url)
        cursor.names[type_url] = names
        return DiscoveryRequest(
            type_url=type_url,
            version_info=self.types[type_url].version,
            response_nonce=cursor.nonces.get(type_url, ""),
            resource_names=names,
        )


def references(value: object, child: str) -> Iterator[str]:
    """Names of the resources of type `child` that a value needs: routes and secrets of a listener, endpoints
    of a cluster."""
    if isinstance(value, Cluster):
        if child == ENDPOINT_TYPE and value.type is ClusterType.EDS:
            yield value.eds_service_name
    elif isinstance(value, Listener):
        for chain in (*value.filter_chains, value.default_filter_chain):
            if chain is not None:
                yield from _references_of(chain, child)


def _references_of(chain: FilterChain, child: str) -> Iterator[str]:
    network = chain.network
    if child == SECRET_TYPE:
        if isinstance(chain.tls, EdgeTls):
            yield chain.tls.certificate
    elif child == ROUTE_TYPE and isinstance(network, HttpConnectionManager) and network.rds_name is not None:
        yield network.rds_name
