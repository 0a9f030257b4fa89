"""The shape of the fields of an object as merging needs it (pure): from the models and the list strategies.

What is here says which lists are merged by key and which as sets; every other list is one value, every object
is merged field by field unless Kubernetes declares it atomic (`+structType=atomic`, `+mapType=atomic`).
"""

import json
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Union, get_args, get_origin

from control_plane.apiserver.openapi.list_strategy import STRATEGIES, ListStrategy
from control_plane.resources.base import Model, ObjectMeta
from control_plane.resources.registry import ResourceKind

_ATOMIC_MODELS = frozenset(
    {
        "ConfigMapKeySelector",
        "LabelSelector",
        "LocalObjectReference",
        "NodeSelector",
        "NodeSelectorTerm",
        "ObjectFieldSelector",
        "ObjectReference",
        "ResourceFieldSelector",
        "SecretKeySelector",
        "TargetRef",
    }
)
_ATOMIC_MAPS = frozenset({("ServiceSpec", "selector"), ("PodSpec", "nodeSelector")})
_OF_GATEWAY_API: Mapping[tuple[str, str], ListStrategy] = {
    ("GatewaySpec", "listeners"): ListStrategy("name"),
    ("GatewayStatus", "listeners"): ListStrategy("name"),
    ("GatewayStatus", "conditions"): ListStrategy("type"),
    ("GatewayClassStatus", "conditions"): ListStrategy("type"),
}
"""List types of its custom resource definitions; those have no strategic merge patch."""
_KEY_DEFAULTS = {"protocol": "TCP"}
"""Keys of list elements that may be left out, and what they are then."""


_encode = json.JSONEncoder(separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode
"""Made once: `json.dumps` would make one for each of an object's elements."""


class Shape:
    """What is known of one field. Of an unknown one nothing: objects are merged, lists replaced."""

    def __init__(
        self, annotation: object, strategy: ListStrategy | None = None, *, is_atomic: bool = False
    ) -> None:
        self._annotation = _bare(annotation)
        self.strategy = strategy
        model = self._annotation
        self.is_atomic = is_atomic or (isinstance(model, type) and model.__name__ in _ATOMIC_MODELS)
        """Replaced as a whole, with one owner."""

    @property
    def map_keys(self) -> tuple[str, ...]:
        """Of a list whose elements are told apart by these fields; else empty."""
        if self.strategy is None or self.strategy.list_type != "map":
            return ()
        return self.strategy.map_keys or (self.strategy.merge_key,)

    @property
    def is_set(self) -> bool:
        """A list of plain values without order."""
        return self.strategy is not None and self.strategy.list_type == "set"

    def field(self, name: str) -> "Shape":
        """Of a member of the object."""
        if isinstance(self._annotation, type) and issubclass(self._annotation, Model):
            return _fields(self._annotation).get(name, UNKNOWN)
        arguments = get_args(self._annotation)
        return Shape(arguments[1]) if get_origin(self._annotation) is dict else UNKNOWN

    def element(self) -> "Shape":
        """Of an element of the list."""
        is_list = get_origin(self._annotation) in (tuple, list)
        return Shape(get_args(self._annotation)[0]) if is_list else UNKNOWN

    def key_of(self, element: object) -> str:
        """What an element of a keyed list or a set is called in `fieldsV1`; empty: it has no key."""
        if self.is_set:
            return f"v:{_canonical(element)}"
        if not isinstance(element, dict):
            return ""
        keys = {name: element.get(name, _KEY_DEFAULTS.get(name)) for name in sorted(self.map_keys)}
        known = {name: value for name, value in keys.items() if value is not None}
        return f"k:{_canonical(known)}" if known else ""

    def keyed(self, value: object) -> "dict[str, object] | None":
        """The elements of a list by their names; None when it has to be taken as one value."""
        if not isinstance(value, list) or not (self.is_set or self.map_keys):
            return None
        result = {self.key_of(element): element for element in value}
        return None if "" in result or len(result) < len(value) else result


def shape_of(kind: ResourceKind) -> Shape:
    """Of a whole object."""
    return Shape(kind.model)


def _canonical(value: object) -> str:
    return _encode(value)


def _bare(annotation: object) -> object:
    """Without `Annotated` and `| None`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _bare(arguments[0])
    if origin in (Union, UnionType):
        members = [one for one in arguments if one is not NoneType]
        return _bare(members[0]) if len(members) == 1 else object
    return annotation


@cache
def _fields(model: type[Model]) -> Mapping[str, Shape]:
    owner = "ObjectMeta" if issubclass(model, ObjectMeta) else model.__name__.lstrip("_")
    result = {}
    for attribute, field in model.model_fields.items():
        place = (owner, field.alias or attribute)
        strategy = STRATEGIES.get(place) or _OF_GATEWAY_API.get(place)
        result[place[1]] = Shape(field.annotation, strategy, is_atomic=place in _ATOMIC_MAPS)
    return result


UNKNOWN = Shape(object)
