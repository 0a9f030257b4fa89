"""The Gateway of the suite: its listeners, its certificate, and what clients outside trust."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Iterator
from functools import cache

from control_plane.discovery import ingress
from control_plane.discovery.gateway import CONTROLLER
from control_plane.resources.manifest import Manifest
from meshproxy.identity.contexts import load_key_pair
from tests.parity.case import GATEWAY
from tests.unit.meshproxy.proxy.outside import Authority, authority

HTTP_PORT, HTTPS_PORT, TLS_PORT, MUTUAL_PORT, TCP_PORT = 80, 443, 8443, 8444, 9100
_API = "gateway.networking.k8s.io/v1"
_DOMAIN = "secure.example.com"


@cache
def _authority() -> Authority:
    return authority("world")


@cache
def client_tls(proves_itself: bool) -> ssl.SSLContext:
    context = _authority().client()
    if proves_itself:
        chain, key = _authority().issue("client.example.com", common_name="me")
        load_key_pair(context, key + chain)
    return context


@cache
def backend_tls() -> ssl.SSLContext:
    """Of upstream servers that speak TLS themselves, as `backend.example.com`."""
    chain, key = _authority().issue("backend.example.com")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_key_pair(context, key + chain)
    return context


def manifests() -> Iterator[Manifest]:
    yield {
        "apiVersion": _API,
        "kind": "GatewayClass",
        "metadata": {"name": "mesh"},
        "spec": {"controllerName": CONTROLLER},
    }
    chain, key = _authority().issue(f"*.{_DOMAIN}")
    yield {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "certificate", "namespace": "shop"},
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": b64encode(chain).decode(), "tls.key": b64encode(key).decode()},
    }
    yield {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": "mesh"},
        "spec": {
            "controller": ingress.CONTROLLER,
            "parameters": {
                "apiGroup": "gateway.networking.k8s.io",
                "kind": "Gateway",
                "name": GATEWAY,
                "scope": "Namespace",
                "namespace": "shop",
            },
        },
    }
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "authority", "namespace": "shop"},
        "data": {"ca.crt": _authority().pem},
    }
    yield {
        "apiVersion": _API,
        "kind": "Gateway",
        "metadata": {"name": GATEWAY, "namespace": "shop"},
        "spec": {"gatewayClassName": "mesh", "listeners": list(_listeners()), "tls": _client_validation()},
    }


def _listeners() -> Iterator[Manifest]:
    yield _listener("http", HTTP_PORT, "HTTP")
    yield _listener("isolated", HTTP_PORT, "HTTP", hostname="*.isolated.example.com")
    certificate = {"certificateRefs": [{"name": "certificate"}]}
    yield _listener("https", HTTPS_PORT, "HTTPS", hostname=f"*.{_DOMAIN}", tls=certificate)
    yield _listener("mutual", MUTUAL_PORT, "HTTPS", hostname=f"*.{_DOMAIN}", tls=certificate)
    yield _listener("tls", TLS_PORT, "TLS", tls={"mode": "Passthrough"})
    yield _listener("tcp", TCP_PORT, "TCP")


def _client_validation() -> Manifest:
    """Clients of one port must prove themselves."""
    authorities = [{"group": "", "kind": "ConfigMap", "name": "authority"}]
    of_port = {"port": MUTUAL_PORT, "tls": {"validation": {"caCertificateRefs": authorities}}}
    return {"frontend": {"default": {}, "perPort": [of_port]}}


def _listener(name: str, port: int, protocol: str, **fields: object) -> Manifest:
    return {"name": name, "port": port, "protocol": protocol, **fields}
