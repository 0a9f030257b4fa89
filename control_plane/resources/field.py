"""Field types shared by the models: names, quantities, int-or-string, fields refused by name (pure).

Each type raises pydantic errors whose location is the field itself: a cause names `spec.ports[0].targetPort`.
"""

import ipaddress
import re
from typing import Annotated, TypeAlias, TypeVar

from pydantic import AfterValidator, Field, PlainValidator
from pydantic_core import PydanticCustomError

_LABEL_1123 = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_QUALIFIED_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_QUANTITY = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(m|u|n|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d{1,3})?")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_PORT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_HIGHEST_PORT = 65535
_HIGHEST_COUNT = 2**63 - 1
"""int64, Kubernetes' widest: what is above cannot be a number of anything, and does not fit into a float."""
_LONGEST_SUBDOMAIN = 253
_LONGEST_QUANTITY = 64
"""Characters. Together with the exponent's three digits: to read one costs next to nothing."""

T = TypeVar("T")
Items = Annotated[tuple[T, ...], Field(strict=False)]
"""A JSON array as an immutable sequence; the elements stay strict."""


def _invalid(message: str) -> PydanticCustomError:
    # The message is passed as a context value: braces in it must not be read as a template.
    return PydanticCustomError("invalid_value", "{reason}", {"reason": message})


def _label_1123(value: str) -> str:
    if not _LABEL_1123.fullmatch(value):
        raise _invalid("must be a lower-case RFC 1123 label: letters, digits and '-', at most 63 characters")
    return value


def _label_1035(value: str) -> str:
    if not _LABEL_1035.fullmatch(value):
        raise _invalid("must be a lower-case RFC 1035 label: starts with a letter, at most 63 characters")
    return value


def _subdomain(value: str) -> str:
    parts = value.split(".")
    if len(value) > _LONGEST_SUBDOMAIN or not all(_LABEL_1123.fullmatch(part) for part in parts):
        raise _invalid(
            "must be a lower-case RFC 1123 subdomain: labels joined by '.', at most 253 characters"
        )
    return value


def _label_key(value: str) -> str:
    prefix, slash, name = value.rpartition("/")
    if slash:
        _subdomain(prefix)
    if not _QUALIFIED_NAME.fullmatch(name):
        raise _invalid(
            "must be a qualified name: [prefix/]name, name of at most 63 letters, digits, '-', '_', '.'"
        )
    return value


def _label_value(value: str) -> str:
    if value and not _QUALIFIED_NAME.fullmatch(value):
        raise _invalid(
            "must be empty or at most 63 letters, digits, '-', '_', '.', with a letter or digit at both ends"
        )
    return value


def _config_key(value: str) -> str:
    if not _CONFIG_KEY.fullmatch(value) or value in (".", ".."):
        raise _invalid("must be at most 253 letters, digits, '-', '_' or '.'")
    return value


def is_port_name(value: str) -> bool:
    """RFC 6335 service name as Kubernetes uses it: at most 15 lower-case characters, one of them a letter."""
    return bool(_PORT_NAME.fullmatch(value)) and any(c.isalpha() for c in value) and "--" not in value


def _port_name(value: str) -> str:
    if not is_port_name(value):
        raise _invalid(
            "must be at most 15 lower-case letters, digits and single '-', with at least one letter"
        )
    return value


def _ip_address(value: str) -> str:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise _invalid("must be an IPv4 or IPv6 address") from None
    if getattr(address, "scope_id", None) is not None:
        raise _invalid("must be an address without a zone")
    return value


def _endpoint_address(value: str) -> str:
    """Kubernetes' rule for endpoints: none of these is the same place for every client, and the first two are
    the client's own (its admin port, a cloud's metadata service)."""
    address = ipaddress.ip_address(_ip_address(value))
    plain = getattr(address, "ipv4_mapped", None) or address
    if plain.is_loopback or plain.is_link_local or plain.is_unspecified or plain.is_multicast:
        raise _invalid("must not be a loopback, link-local, unspecified or multicast address")
    return value


def _cluster_ip(value: str) -> str:
    return value if value in ("", "None") else _ip_address(value)


def _port_or_name(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _HIGHEST_PORT:
        return value
    if isinstance(value, str) and is_port_name(value):
        return value
    raise _invalid(f"must be a port number from 1 to {_HIGHEST_PORT} or a port name")


def _int_or_percent(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}%", value):
        return value
    raise _invalid("must be a number of at least 0 or a percentage such as '25%'")


def _quantity(value: object) -> int | float | str:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _HIGHEST_COUNT:
        return value
    if isinstance(value, str) and len(value) <= _LONGEST_QUANTITY and _QUANTITY.fullmatch(value):
        return value
    raise _invalid("must be a quantity such as 2, '500m' or '64Mi'")


def _not_supported(value: object) -> None:
    raise PydanticCustomError("not_supported", "not supported yet")


LabelName: TypeAlias = Annotated[str, AfterValidator(_label_1123)]
ServiceName: TypeAlias = Annotated[str, AfterValidator(_label_1035)]
SubdomainName: TypeAlias = Annotated[str, AfterValidator(_subdomain)]
LabelKey: TypeAlias = Annotated[str, AfterValidator(_label_key)]
FinalizerName: TypeAlias = Annotated[str, AfterValidator(_label_key)]
LabelValue: TypeAlias = Annotated[str, AfterValidator(_label_value)]
Labels: TypeAlias = dict[LabelKey, LabelValue]
Annotations: TypeAlias = dict[LabelKey, str]
ConfigKey: TypeAlias = Annotated[str, AfterValidator(_config_key)]
PortName: TypeAlias = Annotated[str, AfterValidator(_port_name)]
Port: TypeAlias = Annotated[int, Field(ge=1, le=_HIGHEST_PORT)]
ClusterIp: TypeAlias = Annotated[str, AfterValidator(_cluster_ip)]
IpAddress: TypeAlias = Annotated[str, AfterValidator(_ip_address)]
EndpointAddress: TypeAlias = Annotated[str, AfterValidator(_endpoint_address)]
Count: TypeAlias = Annotated[int, Field(ge=0, le=_HIGHEST_COUNT)]
PortOrName: TypeAlias = Annotated[int | str, PlainValidator(_port_or_name)]
IntOrPercent: TypeAlias = Annotated[int | str, PlainValidator(_int_or_percent)]
Quantity: TypeAlias = Annotated[int | float | str, PlainValidator(_quantity)]
NotSupported: TypeAlias = Annotated[None, PlainValidator(_not_supported)]
"""A field Kubernetes knows and this version does not act on: refused by name, never silently dropped."""
