"""Stored objects of the kinds around Gateways into the `GatewayIndex`, and out of it."""

from __future__ import annotations

from control_plane.discovery.gateway import GatewayIndex
from control_plane.discovery.model import ObjectName
from control_plane.resources.backend_tls_policy import BackendTlsPolicy
from control_plane.resources.config_map import ConfigMap
from control_plane.resources.gateway import Gateway
from control_plane.resources.gateway_class import GatewayClass
from control_plane.resources.ingress import Ingress, IngressClass
from control_plane.resources.manifest import Manifest, ObjectKey, key_of
from control_plane.resources.namespace import Namespace
from control_plane.resources.secret import Secret

_WITH_STATUS = ("Gateway", "GatewayClass", "BackendTLSPolicy", "Ingress")


def put(index: GatewayIndex, manifest: Manifest) -> bool:
    """Whether anything is different now. Raises InvalidResource."""
    match manifest.get("kind"):
        case "Gateway":
            return index.put_gateway(Gateway.read(manifest))
        case "GatewayClass":
            return index.put_class(GatewayClass.read(manifest))
        case "Secret":
            return index.put_secret(Secret.read(manifest))
        case "ConfigMap":
            return index.put_config_map(ConfigMap.read(manifest))
        case "Namespace":
            return index.put_namespace(Namespace.read(manifest))
        case "Ingress":
            return index.put_ingress(Ingress.read(manifest))
        case "IngressClass":
            return index.put_ingress_class(IngressClass.read(manifest))
        case _:
            return index.put_backend_tls(BackendTlsPolicy.read(manifest))


def delete(index: GatewayIndex, kind: str, key: ObjectName) -> bool:
    """Whether it was known."""
    match kind:
        case "Gateway":
            return index.remove(index.gateways, key)
        case "GatewayClass":
            return index.remove(index.classes, key.name)
        case "Secret":
            return index.remove(index.certificates, key)
        case "ConfigMap":
            return index.remove(index.authorities, key)
        case "Namespace":
            return index.remove(index.namespaces, key.name)
        case "Ingress":
            return index.remove(index.ingresses, key)
        case "IngressClass":
            return index.remove(index.ingress_classes, key.name)
        case _:
            return index.remove(index.backend_tls, key)


def own_key(manifest: Manifest) -> ObjectKey | None:
    """Of the object itself, if it has a status of ours."""
    return key_of(manifest) if manifest.get("kind") in _WITH_STATUS else None
