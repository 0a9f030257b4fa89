"""Gateways and what they refer to (frozen values, kept by name): classes, certificates, authorities, labels
of namespaces.

Private keys are in `Certificate` and nowhere else here; nothing prints one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from control_plane.discovery.ingress import (
    IngressClassObject,
    IngressObject,
    ingress_class_object,
    ingress_object,
)
from control_plane.discovery.model import ObjectName
from control_plane.resources.backend_tls_policy import BackendTlsPolicy, BackendTlsPolicySpec
from control_plane.resources.config_map import ConfigMap
from control_plane.resources.gateway import Gateway, GatewaySpec
from control_plane.resources.gateway_class import GatewayClass, GatewayClassSpec
from control_plane.resources.ingress import Ingress, IngressClass
from control_plane.resources.namespace import Namespace
from control_plane.resources.secret import TLS_KEYS, TLS_TYPE, Secret

CONTROLLER: Final = "meshproxy.io/gateway-controller"
GATEWAY_LABEL: Final = "gateway.networking.k8s.io/gateway-name"
"""Pods with it serve the Gateway of that name in their namespace."""
CA_KEY: Final = "ca.crt"
TRUSTED_HOPS: Final = "gateway.meshproxy.io/xff-num-trusted-hops"
PROXY_PROTOCOL: Final = "gateway.meshproxy.io/proxy-protocol"

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class GatewayObject:
    key: ObjectName
    created_at: str
    generation: int
    spec: GatewaySpec
    annotations: tuple[tuple[str, str], ...]
    """Those that say something to us, sorted."""

    def annotation(self, name: str) -> str:
        return dict(self.annotations).get(name, "")


@dataclass(frozen=True, slots=True)
class GatewayClassObject:
    name: str
    generation: int
    spec: GatewayClassSpec

    @property
    def is_ours(self) -> bool:
        return self.spec.controller_name == CONTROLLER


@dataclass(frozen=True, slots=True)
class Certificate:
    """A Secret of type `kubernetes.io/tls`."""

    chain: bytes
    key: bytes = field(repr=False)
    problem: str = ""
    """Why it cannot be used; empty when it can."""


@dataclass(frozen=True, slots=True)
class BackendTls:
    """A BackendTLSPolicy."""

    key: ObjectName
    created_at: str
    generation: int
    spec: BackendTlsPolicySpec


class GatewayIndex:
    """What there is, by name. Each `put_…` and `remove` says whether anything is different now."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self.gateways: dict[ObjectName, GatewayObject] = {}
        self.classes: dict[str, GatewayClassObject] = {}
        self.certificates: dict[ObjectName, Certificate] = {}
        self.authorities: dict[ObjectName, str] = {}
        """PEM of ConfigMaps with `ca.crt`."""
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.backend_tls: dict[ObjectName, BackendTls] = {}
        self.ingresses: dict[ObjectName, IngressObject] = {}
        self.ingress_classes: dict[str, IngressClassObject] = {}

    def is_ours(self, gateway: GatewayObject) -> bool:
        """Whether its class exists and names our controller."""
        found = self.classes.get(gateway.spec.gateway_class_name)
        return found is not None and found.is_ours

    def ours(self) -> Iterator[GatewayObject]:
        """Gateways of our classes, by name."""
        return (self.gateways[key] for key in sorted(self.gateways) if self.is_ours(self.gateways[key]))

    def labels_of(self, namespace: str) -> Mapping[str, str]:
        """A namespace's labels, with the one that Kubernetes gives each."""
        return {"kubernetes.io/metadata.name": namespace, **self.namespaces.get(namespace, {})}

    def put_gateway(self, resource: Gateway) -> bool:
        meta = resource.metadata
        known = (TRUSTED_HOPS, PROXY_PROTOCOL)
        annotations = tuple(sorted((k, v) for k, v in meta.annotations.items() if k in known))
        key = ObjectName(meta.namespace, meta.name)
        made = GatewayObject(key, meta.creation_timestamp, meta.generation, resource.spec, annotations)
        return self._put(self.gateways, key, made)

    def put_class(self, resource: GatewayClass) -> bool:
        meta = resource.metadata
        return self._put(
            self.classes, meta.name, GatewayClassObject(meta.name, meta.generation, resource.spec)
        )

    def put_secret(self, resource: Secret) -> bool:
        key = ObjectName(resource.metadata.namespace, resource.metadata.name)
        if resource.type != TLS_TYPE:
            return self.remove(self.certificates, key)
        values = resource.decoded()
        chain, private = (values[name] for name in TLS_KEYS)
        before = self.certificates.get(key)
        if before is not None and (before.chain, before.key) == (chain, private):
            return False
        return self._put(
            self.certificates, key, Certificate(chain, private, certificate_problem(chain, private))
        )

    def put_config_map(self, resource: ConfigMap) -> bool:
        key = ObjectName(resource.metadata.namespace, resource.metadata.name)
        pem = resource.data.get(CA_KEY)
        return self.remove(self.authorities, key) if pem is None else self._put(self.authorities, key, pem)

    def put_namespace(self, resource: Namespace) -> bool:
        return self._put(self.namespaces, resource.metadata.name, dict(resource.metadata.labels))

    def put_backend_tls(self, resource: BackendTlsPolicy) -> bool:
        meta = resource.metadata
        key = ObjectName(meta.namespace, meta.name)
        made = BackendTls(key, meta.creation_timestamp, meta.generation, resource.spec)
        return self._put(self.backend_tls, key, made)

    def put_ingress(self, resource: Ingress) -> bool:
        made = ingress_object(resource)
        return self._put(self.ingresses, made.key, made)

    def put_ingress_class(self, resource: IngressClass) -> bool:
        made = ingress_class_object(resource)
        return self._put(self.ingress_classes, made.name, made)

    def _put(self, known: dict[K, V], key: K, value: V) -> bool:
        if known.get(key) == value:
            return False
        known[key] = value
        self._on_change()
        return True

    def remove(self, known: dict[K, V], key: K) -> bool:
        """`known` is one of the tables of this index."""
        if key not in known:
            return False
        del known[key]
        self._on_change()
        return True


def certificate_problem(chain: bytes, key: bytes) -> str:
    """Why the two cannot prove anything; empty when they can. Never a word of the key."""
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except (ValueError, IndexError):
        return "tls.crt holds no certificate"
    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError):
        return "tls.key holds no private key without a password"
    if private.public_key() != leaf.public_key():
        return "tls.key is not the key of tls.crt"
    return ""


def authority_problem(pem: str) -> str:
    """Why it names nobody to trust; empty when it does."""
    try:
        x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return f"{CA_KEY} holds no certificate"
    return ""
