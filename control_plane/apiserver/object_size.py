"""How big an object may be (pure): Kubernetes' limits, so that what a lab takes a cluster takes, too."""

from collections.abc import Iterator, Mapping

from control_plane.resources.base import Resource
from control_plane.resources.config_map import ConfigMap
from control_plane.resources.invalid import Cause
from control_plane.resources.secret import Secret

MAX_ANNOTATIONS = 256 * 1024
"""Bytes of all keys and values. `kubectl apply` keeps what it applied in one of them."""
MAX_DATA = 1024 * 1024
"""Bytes of all values of a ConfigMap or Secret, decoded."""


def check_size(wanted: Resource, current: Resource | None) -> Iterator[Cause]:
    """An admission check, of creations and changes."""
    annotations = wanted.metadata.annotations
    if _size(annotations) + sum(map(_bytes, annotations)) > MAX_ANNOTATIONS:
        yield _too_long("metadata.annotations", MAX_ANNOTATIONS)
    if _data(wanted) > MAX_DATA:
        yield _too_long("data", MAX_DATA)


def _data(wanted: Resource) -> int:
    match wanted:
        case ConfigMap():
            return _size(wanted.data) + _decoded_size(wanted.binary_data)
        case Secret():
            given = {key: value for key, value in wanted.data.items() if key not in wanted.string_data}
            return _decoded_size(given) + _size(wanted.string_data)
        case _:
            return 0


def _size(texts: Mapping[str, str]) -> int:
    """In UTF-8."""
    return sum(map(_bytes, texts.values()))


def _bytes(text: str) -> int:
    """ASCII knows its own length: nothing is encoded for it, as this is asked at every write."""
    return len(text) if text.isascii() else len(text.encode())


def _decoded_size(texts: Mapping[str, str]) -> int:
    """Of base64: three bytes in four characters, less the padding."""
    return sum(len(value) // 4 * 3 - value[-2:].count("=") for value in texts.values())


def _too_long(field: str, limit: int) -> Cause:
    return Cause(field, f"Too long: may not be more than {limit} bytes", "FieldValueTooLong")
