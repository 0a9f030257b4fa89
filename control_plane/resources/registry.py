"""Every kind served: its names, its paths and its model (pure). A kind's bare name is unique here."""

from dataclasses import dataclass

from control_plane.resources.base import Resource
from control_plane.resources.config_map import ConfigMap
from control_plane.resources.deployment import Deployment
from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.fault_policy import FaultPolicy
from control_plane.resources.http_route import HttpRoute
from control_plane.resources.invalid import Cause, InvalidResource
from control_plane.resources.manifest import Manifest, kind_of, name_of
from control_plane.resources.namespace import Namespace
from control_plane.resources.pod import Pod
from control_plane.resources.rate_limit_policy import RateLimitPolicy
from control_plane.resources.reference_grant import ReferenceGrant
from control_plane.resources.service import Service
from control_plane.resources.service_account import ServiceAccount
from control_plane.resources.service_entry import ServiceEntry
from control_plane.resources.tcp_route import TcpRoute
from control_plane.resources.tls_route import TlsRoute
from control_plane.resources.traffic_policy import TrafficPolicy


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """How one kind is named and addressed."""

    model: type[Resource]
    plural: str
    singular: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    has_status: bool = False
    """Served with a `status` subresource: writing the object leaves `status` alone, and vice versa."""
    categories: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return self.model.KIND

    @property
    def api_version(self) -> str:
        """`group/version`, or the bare version for the core group."""
        return self.model.API_VERSION

    @property
    def group(self) -> str:
        """Empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.api_version.rpartition("/")[2]

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """URL path of a collection (of all namespaces when `namespace` is empty), object or subresource."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{scope}/{self.plural}{tail}"


_OURS = ("meshproxy",)

KINDS: tuple[ResourceKind, ...] = (
    ResourceKind(Namespace, "namespaces", "namespace", ("ns",), namespaced=False, has_status=True),
    ResourceKind(ServiceAccount, "serviceaccounts", "serviceaccount", ("sa",)),
    ResourceKind(ConfigMap, "configmaps", "configmap", ("cm",)),
    ResourceKind(Pod, "pods", "pod", ("po",), has_status=True, categories=("all",)),
    ResourceKind(Service, "services", "service", ("svc",), has_status=True, categories=("all",)),
    ResourceKind(Deployment, "deployments", "deployment", ("deploy",), has_status=True, categories=("all",)),
    ResourceKind(EndpointSlice, "endpointslices", "endpointslice"),
    ResourceKind(HttpRoute, "httproutes", "httproute", has_status=True, categories=("gateway-api",)),
    ResourceKind(TcpRoute, "tcproutes", "tcproute", has_status=True, categories=("gateway-api",)),
    ResourceKind(TlsRoute, "tlsroutes", "tlsroute", has_status=True, categories=("gateway-api",)),
    ResourceKind(
        ReferenceGrant, "referencegrants", "referencegrant", ("refgrant",), categories=("gateway-api",)
    ),
    ResourceKind(
        TrafficPolicy, "trafficpolicies", "trafficpolicy", ("tp",), has_status=True, categories=_OURS
    ),
    ResourceKind(FaultPolicy, "faultpolicies", "faultpolicy", has_status=True, categories=_OURS),
    ResourceKind(RateLimitPolicy, "ratelimitpolicies", "ratelimitpolicy", has_status=True, categories=_OURS),
    ResourceKind(ServiceEntry, "serviceentries", "serviceentry", ("se",), has_status=True, categories=_OURS),
)
BY_KIND = {entry.kind: entry for entry in KINDS}


def kind_named(word: str) -> ResourceKind | None:
    """The kind a user means by `word`: kind, plural, singular, short name or `plural.group`, in any case."""
    wanted = word.lower()
    for entry in KINDS:
        names = (entry.kind.lower(), entry.plural, entry.singular, *entry.short_names)
        if wanted in names or wanted == f"{entry.plural}.{entry.group}":
            return entry
    return None


def parse(manifest: Manifest) -> Resource:
    """The typed object, of the model its apiVersion and kind name. Raises InvalidResource."""
    entry = BY_KIND.get(kind_of(manifest))
    if entry is None:
        message = f"unknown kind {manifest.get('kind')!r}; served are {', '.join(sorted(BY_KIND))}"
        cause = Cause("kind", message, "FieldValueNotSupported")
        raise InvalidResource(kind_of(manifest), name_of(manifest), [cause])
    return entry.model.parse(manifest)
