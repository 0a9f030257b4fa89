"""One discovery response -> values of the model (pure). All of it, or a ConfigError that names what is
wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from control_plane.api.envoy.config.cluster.v3 import cluster_pb2
from control_plane.api.envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from control_plane.api.envoy.config.listener.v3 import listener_pb2
from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from control_plane.api.istio.networking.nds.v1 import nds_pb2
from meshproxy.config.model import Cluster, Endpoint, Listener
from meshproxy.config.name_table import NameTable
from meshproxy.config.route import RouteTable
from meshproxy.config.tls import TlsCertificate
from meshproxy.errors import ConfigError
from meshproxy.steps import Steps, finished
from meshproxy.xds.clusters import translate_cluster
from meshproxy.xds.endpoints import translating_endpoints
from meshproxy.xds.listeners import translate_listener
from meshproxy.xds.name_table import translating_names
from meshproxy.xds.route_table import MadeTable, making_table
from meshproxy.xds.secret import translate_secret
from meshproxy.xds.strict import checking, decode, type_name

M = TypeVar("M", bound=Message)
Value = Listener | RouteTable | Cluster | tuple[Endpoint, ...] | TlsCertificate | NameTable

_PREFIX: Final = "type.googleapis.com/"
LISTENER_TYPE: Final = _PREFIX + listener_pb2.Listener.DESCRIPTOR.full_name
ROUTE_TYPE: Final = _PREFIX + RouteConfiguration.DESCRIPTOR.full_name
CLUSTER_TYPE: Final = _PREFIX + cluster_pb2.Cluster.DESCRIPTOR.full_name
ENDPOINT_TYPE: Final = _PREFIX + ClusterLoadAssignment.DESCRIPTOR.full_name
SECRET_TYPE: Final = _PREFIX + Secret.DESCRIPTOR.full_name
NAME_TABLE_TYPE: Final = _PREFIX + nds_pb2.NameTable.DESCRIPTOR.full_name

SHORT_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        CLUSTER_TYPE: "cds",
        ENDPOINT_TYPE: "eds",
        LISTENER_TYPE: "lds",
        ROUTE_TYPE: "rds",
        SECRET_TYPE: "sds",
        NAME_TABLE_TYPE: "nds",
    }
)
"""Type URL -> the name people know."""

NAME_TABLE: Final = "name_table"
"""What the one resource of `nds` is called."""
_MAX_PROBLEMS = 5
"""Refusals named in one NACK; the rest is counted."""
_MAX_PROBLEM_LENGTH = 500
"""Characters of one refusal: names are the sender's and may be long."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """One resource that passed, with its serialised form for `/config_dump`."""

    name: str
    body: bytes = field(repr=False)
    value: Value
    made: MadeTable | None = None
    """Of a route table: what it was compiled to, and what its next version is made from."""


Known = Mapping[str, Accepted]
"""By name: what was accepted before. A resource with the same bytes keeps its object."""
_NOTHING: Final[Known] = MappingProxyType({})


def translate(type_url: str, resources: Iterable[AnyMessage], known: Known = _NOTHING) -> dict[str, Accepted]:
    """Every resource of a response by name. Raises ConfigError naming each one that is refused."""
    return finished(translating(type_url, resources, known))


def translating(type_url: str, resources: Iterable[AnyMessage], known: Known) -> Steps[dict[str, Accepted]]:
    """The same in steps: all of a response, however big, takes effect at once, but is not done at once."""
    by_body = {item.body: item for item in known.values()}
    accepted: dict[str, Accepted] = {}
    problems: list[str] = []
    for index, packed in enumerate(resources):
        try:
            item = by_body.get(packed.value) or (yield from _translate_one(type_url, packed, index, known))
            if item.name in accepted:
                raise ConfigError(f"{_place(type_url, item.name)}: given twice in one response")
            accepted[item.name] = item
        except ConfigError as error:
            problems.append(str(error)[:_MAX_PROBLEM_LENGTH])
        yield
    if problems:
        raise ConfigError(_summary(problems))
    return accepted


def _translate_one(type_url: str, packed: AnyMessage, index: int, known: Known) -> Steps[Accepted]:
    if packed.type_url != type_url:
        short = SHORT_NAMES[type_url]
        raise ConfigError(f"{short} resources[{index}]: {type_name(packed)!r} in a response of {type_url}")
    return (yield from _TRANSLATORS[type_url](packed.value, index, known))


def _summary(problems: list[str]) -> str:
    more = len(problems) - _MAX_PROBLEMS
    return "; ".join(problems[:_MAX_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")


def _place(type_url: str, name: str) -> str:
    return f"{SHORT_NAMES[type_url]} {name!r}"


def _named(type_url: str, name: str, index: int) -> str:
    if not name:
        raise ConfigError(f"{SHORT_NAMES[type_url]} resources[{index}]: it has no name")
    return _place(type_url, name)


def _listener(body: bytes, index: int, known: Known) -> Steps[Accepted]:
    message, place = _read(LISTENER_TYPE, body, listener_pb2.Listener, index, lambda item: item.name)
    yield from checking(message, place)
    return Accepted(message.name, body, translate_listener(message, place))


def _route(body: bytes, index: int, known: Known) -> Steps[Accepted]:
    message, place = _read(ROUTE_TYPE, body, RouteConfiguration, index, lambda item: item.name)
    before = known.get(message.name)
    made = yield from making_table(message, place, before.made if before is not None else None)
    return Accepted(message.name, body, made.table, made)


def _cluster(body: bytes, index: int, known: Known) -> Steps[Accepted]:
    message, place = _read(CLUSTER_TYPE, body, cluster_pb2.Cluster, index, lambda item: item.name)
    yield from checking(message, place)
    return Accepted(message.name, body, translate_cluster(message, place))


def _assignment(body: bytes, index: int, known: Known) -> Steps[Accepted]:
    message, place = _read(ENDPOINT_TYPE, body, ClusterLoadAssignment, index, lambda item: item.cluster_name)
    yield from checking(message, place)
    endpoints = yield from translating_endpoints(message, place)
    return Accepted(message.cluster_name, body, endpoints)


def _secret(body: bytes, index: int, known: Known) -> Steps[Accepted]:
    message, place = _read(SECRET_TYPE, body, Secret, index, lambda item: item.name)
    yield from checking(message, place)
    return Accepted(message.name, body, translate_secret(message, place))


def _names(body: bytes, index: int, known: Known) -> Steps[Accepted]:
    """Such a message has no name of its own; there is one."""
    message = decode(body, nds_pb2.NameTable, f"{SHORT_NAMES[NAME_TABLE_TYPE]} resources[{index}]")
    place = _place(NAME_TABLE_TYPE, NAME_TABLE)
    yield from checking(message, place, apart_from="table")
    return Accepted(NAME_TABLE, body, (yield from translating_names(message, place)))


def _read(
    type_url: str, body: bytes, message_type: type[M], index: int, name: Callable[[M], str]
) -> tuple[M, str]:
    """Decoded, not checked; with the place that problems are told by: the resource's name."""
    message = decode(body, message_type, f"{SHORT_NAMES[type_url]} resources[{index}]")
    return message, _named(type_url, name(message), index)


_TRANSLATORS: Final[Mapping[str, Callable[[bytes, int, Known], Steps[Accepted]]]] = {
    LISTENER_TYPE: _listener,
    ROUTE_TYPE: _route,
    CLUSTER_TYPE: _cluster,
    ENDPOINT_TYPE: _assignment,
    SECRET_TYPE: _secret,
    NAME_TABLE_TYPE: _names,
}
MESSAGES: Final[Mapping[str, type[Message]]] = {
    LISTENER_TYPE: listener_pb2.Listener,
    ROUTE_TYPE: RouteConfiguration,
    CLUSTER_TYPE: cluster_pb2.Cluster,
    ENDPOINT_TYPE: ClusterLoadAssignment,
    SECRET_TYPE: Secret,
    NAME_TABLE_TYPE: nds_pb2.NameTable,
}
"""Type URL -> what the bytes of such a resource are."""
