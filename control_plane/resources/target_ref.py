"""What a policy is attached to, `spec.targetRefs[]`, and how its status reports on each (GEP-713) (pure)."""

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Condition, Model
from control_plane.resources.field import Count, Items, LabelName, Port, SubdomainName

MAX_TARGETS = 16
"""Also the most ancestors a status may hold, so that each target has its entry."""
SERVICE = "Service"
HTTP_ROUTE = "HTTPRoute"
GRPC_ROUTE = "GRPCRoute"
SERVICE_ENTRY = "ServiceEntry"
GATEWAY_GROUP = "gateway.networking.k8s.io"
_GROUPS = {SERVICE: "", HTTP_ROUTE: GATEWAY_GROUP, GRPC_ROUTE: GATEWAY_GROUP, SERVICE_ENTRY: "meshproxy.io"}
_ROUTES = (HTTP_ROUTE, GRPC_ROUTE)


class TargetReference(Model):
    """An object of the policy's own namespace."""

    group: Literal["", "gateway.networking.k8s.io", "meshproxy.io"]
    kind: Literal["Service", "HTTPRoute", "GRPCRoute", "ServiceEntry"]
    name: SubdomainName
    section_name: SubdomainName | None = None
    """A port's name of a Service or ServiceEntry, a rule's name of a route; None is the whole object."""

    @field_validator("kind")
    @classmethod
    def _check_kind(cls, kind: str, info: ValidationInfo) -> str:
        if info.data.get("group", _GROUPS[kind]) != _GROUPS[kind]:
            raise PydanticCustomError("invalid_value", 'is of group "{group}"', {"group": _GROUPS[kind]})
        return kind


def _distinct(refs: tuple[TargetReference, ...]) -> tuple[TargetReference, ...]:
    seen = set()
    for number, ref in enumerate(refs):
        if ref in seen:
            raise PydanticCustomError(
                "invalid_value", "[{number}]: the same as one before it", {"number": number}
            )
        seen.add(ref)
    return refs


TargetReferences: TypeAlias = Annotated[
    Items[TargetReference], Field(min_length=1, max_length=MAX_TARGETS), AfterValidator(_distinct)
]


class AncestorReference(Model):
    """A target as repeated in status."""

    group: str = GATEWAY_GROUP
    kind: str = "Gateway"
    name: str
    namespace: LabelName | None = None
    section_name: str | None = None
    port: Port | None = None


class PolicyAncestorStatus(Model):
    """What became of the policy at one target."""

    ancestor_ref: AncestorReference
    controller_name: str
    conditions: Items[Condition] = ()


class PolicyStatus(Model):
    ancestors: Annotated[Items[PolicyAncestorStatus], Field(max_length=MAX_TARGETS)] = ()
    observed_generation: Count = 0


class TargetedSpec(Model):
    """The part of `spec` that every policy has."""

    target_refs: TargetReferences
    """What it holds for."""

    @property
    def targets_a_route(self) -> bool:
        return any(ref.kind in _ROUTES for ref in self.target_refs)


def targets_a_route(info: ValidationInfo) -> bool:
    """For validators of other fields of the spec, which come after `targetRefs`."""
    return any(ref.kind in _ROUTES for ref in info.data.get("target_refs", ()))
