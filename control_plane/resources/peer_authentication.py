"""meshproxy.io/v1alpha1 PeerAuthentication: what sidecars demand of those who connect to them (pure).

Fields and precedence are those of Istio's `security.istio.io/v1` PeerAuthentication.
"""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from control_plane.resources.base import Condition, Model, Resource
from control_plane.resources.field import Count, Items, Labels
from control_plane.resources.gateway_field import invalid

Mode: TypeAlias = Literal["UNSET", "STRICT", "PERMISSIVE", "DISABLE"]
_HIGHEST_PORT = 65535


def _port(value: str) -> str:
    if not value.isascii() or not value.isdigit() or str(int(value)) != value:
        raise invalid(f"{value!r} must be a port number")
    if not 1 <= int(value) <= _HIGHEST_PORT:
        raise invalid(f"{value!r} must be between 1 and {_HIGHEST_PORT}")
    return value


PortKey: TypeAlias = Annotated[str, AfterValidator(_port)]


class MutualTls(Model):
    mode: Mode = "UNSET"
    """STRICT: plaintext is refused. PERMISSIVE: both are taken. DISABLE: both are taken, and sidecars send
    plaintext there. UNSET: as what is above says, at last `--mtls-mode`."""


class WorkloadSelector(Model):
    match_labels: Annotated[Labels, Field(min_length=1)]
    """All of which a Pod must carry."""


class PeerAuthenticationSpec(Model):
    selector: WorkloadSelector | None = None
    """Pods of the own namespace. None: all of them; in `meshproxy-system`, all of the mesh."""
    mtls: MutualTls = MutualTls()
    """What is taken on all ports that `portLevelMtls` does not name."""
    port_level_mtls: Annotated[dict[PortKey, MutualTls], Field(max_length=64)] = Field(default_factory=dict)
    """By the pod's own port."""

    @model_validator(mode="after")
    def _check_ports(self) -> Self:
        if self.port_level_mtls and self.selector is None:
            raise invalid("portLevelMtls: needs a selector: ports are those of certain pods")
        return self


class PeerAuthenticationStatus(Model):
    conditions: Items[Condition] = ()
    observed_generation: Count = 0


class PeerAuthentication(Resource):
    """Whether Pods take mutual TLS only, or plaintext, too."""

    API_VERSION = "meshproxy.io/v1alpha1"
    KIND = "PeerAuthentication"

    api_version: Literal["meshproxy.io/v1alpha1"]
    kind: Literal["PeerAuthentication"]
    spec: PeerAuthenticationSpec = PeerAuthenticationSpec()
    status: PeerAuthenticationStatus = PeerAuthenticationStatus()
