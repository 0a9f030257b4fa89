"""Every kind served: its names, its paths and its model (pure). A kind's bare name is unique here."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from control_plane.resources.backend_tls_policy import BackendTlsPolicy
from control_plane.resources.base import Resource
from control_plane.resources.config_map import ConfigMap
from control_plane.resources.deployment import Deployment
from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.event import Event
from control_plane.resources.fault_policy import FaultPolicy
from control_plane.resources.gateway import Gateway
from control_plane.resources.gateway_class import GatewayClass
from control_plane.resources.grpc_route import GrpcRoute
from control_plane.resources.http_route import HttpRoute
from control_plane.resources.ingress import Ingress, IngressClass
from control_plane.resources.invalid import Cause, InvalidResource
from control_plane.resources.job import Job
from control_plane.resources.manifest import Manifest, kind_of, name_of
from control_plane.resources.namespace import Namespace
from control_plane.resources.node import Node
from control_plane.resources.peer_authentication import PeerAuthentication
from control_plane.resources.pod import Pod
from control_plane.resources.rate_limit_policy import RateLimitPolicy
from control_plane.resources.reference_grant import ReferenceGrant
from control_plane.resources.replica_set import ReplicaSet
from control_plane.resources.secret import Secret
from control_plane.resources.service import Service
from control_plane.resources.service_account import ServiceAccount
from control_plane.resources.service_entry import ServiceEntry
from control_plane.resources.tcp_route import TcpRoute
from control_plane.resources.tls_route import TlsRoute
from control_plane.resources.traffic_policy import TrafficPolicy
from control_plane.resources.webhook_configuration import (
    MutatingWebhookConfiguration,
    ValidatingWebhookConfiguration,
)


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
    older_versions: tuple[str, ...] = ()
    """Versions in which it is served too, for clients that know no other; stored is the model's own."""
    served_version: str = ""
    """Of an entry of `in_every_version` that is not the model's own."""

    def in_every_version(self) -> Iterator["ResourceKind"]:
        """The kind itself, and once for each of its older versions."""
        yield self
        for version in self.older_versions:
            yield replace(self, older_versions=(), served_version=version)

    def stored(self, manifest: Manifest) -> Manifest:
        """The object in the version in which it is stored, if it is in one that is served."""
        served = {f"{self.group}/{version}" for version in (*self.older_versions, self.served_version)}
        known = str(manifest.get("apiVersion")) in served
        return {**manifest, "apiVersion": self.model.API_VERSION} if known else manifest

    def shown(self, manifest: Manifest) -> Manifest:
        """A stored object in the version of this entry."""
        return {**manifest, "apiVersion": self.api_version} if self.served_version else manifest

    @property
    def kind(self) -> str:
        return self.model.KIND

    @property
    def api_version(self) -> str:
        """`group/version`, or the bare version for the core group."""
        return f"{self.group}/{self.served_version}" if self.served_version else self.model.API_VERSION

    @property
    def group(self) -> str:
        """Empty for the core group."""
        return self.model.API_VERSION.rpartition("/")[0]

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
_GATEWAY = ("gateway-api",)

KINDS: tuple[ResourceKind, ...] = (
    ResourceKind(Namespace, "namespaces", "namespace", ("ns",), namespaced=False, has_status=True),
    ResourceKind(Node, "nodes", "node", ("no",), namespaced=False, has_status=True),
    ResourceKind(ServiceAccount, "serviceaccounts", "serviceaccount", ("sa",)),
    ResourceKind(ConfigMap, "configmaps", "configmap", ("cm",)),
    ResourceKind(Pod, "pods", "pod", ("po",), has_status=True, categories=("all",)),
    ResourceKind(Event, "events", "event", ("ev",)),
    ResourceKind(Service, "services", "service", ("svc",), has_status=True, categories=("all",)),
    ResourceKind(Deployment, "deployments", "deployment", ("deploy",), has_status=True, categories=("all",)),
    ResourceKind(ReplicaSet, "replicasets", "replicaset", ("rs",), has_status=True, categories=("all",)),
    ResourceKind(Job, "jobs", "job", has_status=True, categories=("all",)),
    ResourceKind(EndpointSlice, "endpointslices", "endpointslice"),
    ResourceKind(
        HttpRoute,
        "httproutes",
        "httproute",
        has_status=True,
        categories=_GATEWAY,
        older_versions=("v1beta1",),
    ),
    ResourceKind(GrpcRoute, "grpcroutes", "grpcroute", has_status=True, categories=_GATEWAY),
    ResourceKind(
        TcpRoute, "tcproutes", "tcproute", has_status=True, categories=_GATEWAY, older_versions=("v1alpha2",)
    ),
    ResourceKind(
        TlsRoute,
        "tlsroutes",
        "tlsroute",
        has_status=True,
        categories=_GATEWAY,
        older_versions=("v1alpha3", "v1alpha2"),
    ),
    ResourceKind(
        ReferenceGrant,
        "referencegrants",
        "referencegrant",
        ("refgrant",),
        categories=_GATEWAY,
        older_versions=("v1beta1",),
    ),
    ResourceKind(Gateway, "gateways", "gateway", ("gtw",), has_status=True, categories=_GATEWAY),
    ResourceKind(
        GatewayClass,
        "gatewayclasses",
        "gatewayclass",
        ("gc",),
        namespaced=False,
        has_status=True,
        categories=_GATEWAY,
    ),
    ResourceKind(
        BackendTlsPolicy,
        "backendtlspolicies",
        "backendtlspolicy",
        ("btlspolicy",),
        has_status=True,
        categories=_GATEWAY,
    ),
    ResourceKind(Secret, "secrets", "secret"),
    ResourceKind(Ingress, "ingresses", "ingress", ("ing",), has_status=True),
    ResourceKind(IngressClass, "ingressclasses", "ingressclass", namespaced=False),
    ResourceKind(
        TrafficPolicy, "trafficpolicies", "trafficpolicy", ("tp",), has_status=True, categories=_OURS
    ),
    ResourceKind(FaultPolicy, "faultpolicies", "faultpolicy", has_status=True, categories=_OURS),
    ResourceKind(RateLimitPolicy, "ratelimitpolicies", "ratelimitpolicy", has_status=True, categories=_OURS),
    ResourceKind(
        PeerAuthentication,
        "peerauthentications",
        "peerauthentication",
        ("pa",),
        has_status=True,
        categories=_OURS,
    ),
    ResourceKind(ServiceEntry, "serviceentries", "serviceentry", ("se",), has_status=True, categories=_OURS),
    ResourceKind(
        MutatingWebhookConfiguration,
        "mutatingwebhookconfigurations",
        "mutatingwebhookconfiguration",
        namespaced=False,
        categories=("api-extensions",),
    ),
    ResourceKind(
        ValidatingWebhookConfiguration,
        "validatingwebhookconfigurations",
        "validatingwebhookconfiguration",
        namespaced=False,
        categories=("api-extensions",),
    ),
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
    return entry.model.parse(entry.stored(manifest))
