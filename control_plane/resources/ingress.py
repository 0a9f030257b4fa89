"""networking.k8s.io/v1 Ingress and IngressClass (pure)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from control_plane.resources.base import Model, Resource
from control_plane.resources.field import Count, Items, LabelName, NotSupported, Port, ServiceName
from control_plane.resources.gateway_class import ClusterWideMeta
from control_plane.resources.gateway_field import AnyName, ControllerName, Group, Hostname, Kind, invalid
from control_plane.resources.http_route_match import plain_path


class IngressPort(Model):
    """By number or by name."""

    number: Port | None = None
    name: LabelName | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.number is None) == (self.name is None):
            raise invalid("exactly one of number and name must be given")
        return self


class IngressServiceBackend(Model):
    name: ServiceName
    port: IngressPort


class IngressBackend(Model):
    service: IngressServiceBackend
    resource: NotSupported = None


class IngressPath(Model):
    path_type: Literal["Exact", "Prefix", "ImplementationSpecific"]
    """`Prefix` is of whole path elements; `ImplementationSpecific` is treated as `Prefix`."""
    path: str = "/"
    backend: IngressBackend

    @model_validator(mode="after")
    def _check_path(self) -> Self:
        if self.path:
            plain_path(self.path)
        elif self.path_type != "ImplementationSpecific":
            raise invalid(f"path: required when pathType is {self.path_type}")
        return self


class IngressHttp(Model):
    paths: Annotated[Items[IngressPath], Field(min_length=1)]


class IngressRule(Model):
    host: Hostname | None = None
    """None: every host. `*.` stands for exactly one label."""
    http: IngressHttp | None = None
    """None: everything of the host goes to the default backend."""


class IngressTls(Model):
    hosts: Items[Hostname] = ()
    secret_name: AnyName | None = None


class IngressSpec(Model):
    ingress_class_name: AnyName | None = None
    default_backend: IngressBackend | None = None
    rules: Items[IngressRule] = ()
    tls: Items[IngressTls] = ()

    @model_validator(mode="after")
    def _check_content(self) -> Self:
        if not self.rules and self.default_backend is None:
            raise invalid("either defaultBackend or rules must be given")
        return self


class IngressPortStatus(Model):
    port: Port
    protocol: Literal["TCP", "UDP", "SCTP"]
    error: str | None = None


class LoadBalancerIngress(Model):
    ip: str | None = None
    hostname: str | None = None
    ports: Items[IngressPortStatus] = ()


class LoadBalancerStatus(Model):
    ingress: Items[LoadBalancerIngress] = ()


class IngressStatus(Model):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()
    observed_generation: Count = 0


class Ingress(Resource):
    """Where requests from outside go, by host and path."""

    API_VERSION = "networking.k8s.io/v1"
    KIND = "Ingress"

    api_version: Literal["networking.k8s.io/v1"]
    kind: Literal["Ingress"]
    spec: IngressSpec
    status: IngressStatus = IngressStatus()


class IngressClassParameters(Model):
    api_group: Group | None = None
    kind: Kind
    name: AnyName
    scope: Literal["Cluster", "Namespace"] = "Cluster"
    namespace: LabelName | None = None

    @model_validator(mode="after")
    def _check_scope(self) -> Self:
        if (self.scope == "Namespace") != (self.namespace is not None):
            raise invalid("namespace: required when scope is Namespace, and only then")
        return self


class IngressClassSpec(Model):
    controller: ControllerName
    parameters: IngressClassParameters | None = None


class IngressClass(Resource):
    """Who takes care of Ingresses that name it."""

    API_VERSION = "networking.k8s.io/v1"
    KIND = "IngressClass"

    api_version: Literal["networking.k8s.io/v1"]
    kind: Literal["IngressClass"]
    metadata: ClusterWideMeta
    spec: IngressClassSpec
