"""One discovery response -> values of the model (pure). All of it, or a ConfigError that names what is
wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from control_plane.api.envoy.config.cluster.v3 import cluster_pb2
from control_plane.api.envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from control_plane.api.envoy.config.listener.v3 import listener_pb2
from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from meshproxy.config.model import Cluster, Endpoint, Listener
from meshproxy.config.route import RouteTable
from meshproxy.errors import ConfigError
from meshproxy.xds.clusters import translate_cluster
from meshproxy.xds.endpoints import translate_endpoints
from meshproxy.xds.listeners import translate_listener
from meshproxy.xds.routes import translate_routes
from meshproxy.xds.strict import check, decode, type_name

M = TypeVar("M", bound=Message)
Value = Listener | RouteTable | Cluster | tuple[Endpoint, ...]

_PREFIX: Final = "type.googleapis.com/"
LISTENER_TYPE: Final = _PREFIX + listener_pb2.Listener.DESCRIPTOR.full_name
ROUTE_TYPE: Final = _PREFIX + RouteConfiguration.DESCRIPTOR.full_name
CLUSTER_TYPE: Final = _PREFIX + cluster_pb2.Cluster.DESCRIPTOR.full_name
ENDPOINT_TYPE: Final = _PREFIX + ClusterLoadAssignment.DESCRIPTOR.full_name

SHORT_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {CLUSTER_TYPE: "cds", ENDPOINT_TYPE: "eds", LISTENER_TYPE: "lds", ROUTE_TYPE: "rds"}
)
"""Type URL -> the name people know."""

_MAX_PROBLEMS = 5
"""Refusals named in one NACK; the rest is counted."""
_MAX_PROBLEM_LENGTH = 500
"""Characters of one refusal: names are the sender's and may be long."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """One resource that passed, with its serialised form for `/config_dump`."""

    name: str
    body: bytes
    value: Value


def translate(
    type_url: str, resources: Iterable[AnyMessage], known: Mapping[str, Accepted] = MappingProxyType({})
) -> dict[str, Accepted]:
    """Every resource of a response by name. Raises ConfigError naming each one that is refused.

    `known` is what was accepted before: a resource with the same bytes keeps its object.
    """
    by_body = {item.body: item for item in known.values()}
    accepted: dict[str, Accepted] = {}
    problems: list[str] = []
    for index, packed in enumerate(resources):
        try:
            item = by_body.get(packed.value) or _translate_one(type_url, packed, index)
            if item.name in accepted:
                raise ConfigError(f"{_place(type_url, item.name)}: given twice in one response")
            accepted[item.name] = item
        except ConfigError as error:
            problems.append(str(error)[:_MAX_PROBLEM_LENGTH])
    if problems:
        raise ConfigError(_summary(problems))
    return accepted


class ResourceView(Mapping[str, object]):
    """A resource as JSON-like values, for people; decoded when it is looked into, so that a dump can be
    sliced.

    Nothing in it is secret: resources with keys in them are refused, those of ours only name secrets.
    """

    def __init__(self, type_url: str, body: bytes) -> None:
        self._type_url = type_url
        self._body = body
        self._decoded: dict[str, object] | None = None

    def __getitem__(self, key: str) -> object:
        return self._values()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def _values(self) -> dict[str, object]:
        if self._decoded is None:
            message = _MESSAGES[self._type_url].FromString(self._body)
            self._decoded = MessageToDict(message, preserving_proto_field_name=True)
        return self._decoded


def _translate_one(type_url: str, packed: AnyMessage, index: int) -> Accepted:
    if packed.type_url != type_url:
        short = SHORT_NAMES[type_url]
        raise ConfigError(f"{short} resources[{index}]: {type_name(packed)!r} in a response of {type_url}")
    return _TRANSLATORS[type_url](packed.value, index)


def _summary(problems: list[str]) -> str:
    more = len(problems) - _MAX_PROBLEMS
    return "; ".join(problems[:_MAX_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")


def _place(type_url: str, name: str) -> str:
    return f"{SHORT_NAMES[type_url]} {name!r}"


def _named(type_url: str, name: str, index: int) -> str:
    if not name:
        raise ConfigError(f"{SHORT_NAMES[type_url]} resources[{index}]: it has no name")
    return _place(type_url, name)


def _listener(body: bytes, index: int) -> Accepted:
    message = _read(LISTENER_TYPE, body, listener_pb2.Listener, index, lambda item: item.name)
    return Accepted(message.name, body, translate_listener(message, _place(LISTENER_TYPE, message.name)))


def _route(body: bytes, index: int) -> Accepted:
    message = _read(ROUTE_TYPE, body, RouteConfiguration, index, lambda item: item.name)
    return Accepted(message.name, body, translate_routes(message, _place(ROUTE_TYPE, message.name)))


def _cluster(body: bytes, index: int) -> Accepted:
    message = _read(CLUSTER_TYPE, body, cluster_pb2.Cluster, index, lambda item: item.name)
    return Accepted(message.name, body, translate_cluster(message, _place(CLUSTER_TYPE, message.name)))


def _assignment(body: bytes, index: int) -> Accepted:
    message = _read(ENDPOINT_TYPE, body, ClusterLoadAssignment, index, lambda item: item.cluster_name)
    name = message.cluster_name
    return Accepted(name, body, translate_endpoints(message, _place(ENDPOINT_TYPE, name)))


def _read(type_url: str, body: bytes, message_type: type[M], index: int, name: Callable[[M], str]) -> M:
    """Decode and check; problems are told by the resource's name where it can be read."""
    message = decode(body, message_type, f"{SHORT_NAMES[type_url]} resources[{index}]")
    check(message, _named(type_url, name(message), index))
    return message


_TRANSLATORS: Final[Mapping[str, Callable[[bytes, int], Accepted]]] = {
    LISTENER_TYPE: _listener,
    ROUTE_TYPE: _route,
    CLUSTER_TYPE: _cluster,
    ENDPOINT_TYPE: _assignment,
}
_MESSAGES: Final[Mapping[str, type[Message]]] = {
    LISTENER_TYPE: listener_pb2.Listener,
    ROUTE_TYPE: RouteConfiguration,
    CLUSTER_TYPE: cluster_pb2.Cluster,
    ENDPOINT_TYPE: ClusterLoadAssignment,
}
