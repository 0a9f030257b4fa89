"""What admission is told of a request, and the two places where it may speak (pure).

As in Kubernetes an object is mutated before it is validated and told to the validating half afterwards, when
nothing changes it any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import ResourceKind

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """One request that is about to change the store."""

    operation: Operation
    kind: ResourceKind
    """In the version of the request."""
    namespace: str
    """Empty for what lies in none; Namespaces themselves too."""
    name: str
    """Empty when the server is to choose it."""
    wanted: Manifest | None
    """None for DELETE."""
    current: Manifest | None = None
    """None for CREATE."""
    subresource: str = ""
    dry_run: bool = False
    options: Mapping[str, object] = field(default_factory=dict)
    """`DeleteOptions` of the request."""

    def with_object(self, wanted: Manifest) -> "AdmissionRequest":
        """The same request for another object."""
        return replace(self, wanted=wanted)


class Admission(Protocol):
    """Who is asked. A Protocol, because the verbs need nothing of webhooks."""

    async def mutate(self, request: AdmissionRequest) -> Manifest | None:
        """The object as it shall be from here on: `request.wanted` or another. Raises Failure."""
        ...

    async def validate(self, request: AdmissionRequest) -> None:
        """Raises Failure."""
        ...


class AdmitEverything:
    """Admission of a server without any."""

    async def mutate(self, request: AdmissionRequest) -> Manifest | None:
        """As it was wanted."""
        return request.wanted

    async def validate(self, request: AdmissionRequest) -> None:
        """Nothing is refused."""
