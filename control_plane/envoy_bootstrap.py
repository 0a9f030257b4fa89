"""Bootstrap and SDS files with which stock Envoy joins the mesh (pure): plain data, ready for YAML.

Envoy gets everything but these from ADS over mTLS. Its identity comes from two SDS files in one directory,
which it reads again when they are replaced by a rename; whoever renews the certificate replaces them.
"""

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TypeAlias

from control_plane.translate.tls import IDENTITY_FILE, IDENTITY_NAME, ROOT_FILE, ROOT_NAME

Document: TypeAlias = dict[str, object]

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_XDS_CLUSTER = "xds-grpc"
_V3 = "V3"


@dataclass(frozen=True, slots=True)
class EnvoyNode:
    """Which pod this Envoy is the sidecar of, and where it finds things."""

    pod: str
    namespace: str
    pod_ip: str
    service_account: str
    discovery_host: str
    discovery_port: int
    secrets_dir: str
    """Absolute path of the directory with the SDS files."""
    trust_domain: str = "cluster.local"
    labels: dict[str, str] = field(default_factory=dict)
    admin_port: int = 15000
    control_plane_namespace: str = "meshproxy-system"
    control_plane_account: str = "control-plane"


def bootstrap(node: EnvoyNode) -> Document:
    """Envoy's `Bootstrap` message."""
    ads: Document = {"ads": {}, "resource_api_version": _V3}
    return {
        "node": {
            "id": f"sidecar~{node.pod_ip}~{node.pod}.{node.namespace}~{node.namespace}.svc.cluster.local",
            "cluster": f"{node.labels.get('app', node.pod)}.{node.namespace}",
            "metadata": _metadata(node),
            **_locality(node),
        },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": _V3,
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": _XDS_CLUSTER}}],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {"clusters": [_xds_cluster(node)]},
        "admin": {"address": _socket_address("127.0.0.1", node.admin_port)},
    }


def secret_files(chain: str, key: str, root: str) -> dict[str, Document]:
    """SDS files by name, from PEM text: the chain (leaf first), its private key, and the root to trust."""
    certificate: Document = {
        "certificate_chain": {"inline_string": chain},
        "private_key": {"inline_string": key},
    }
    return {
        IDENTITY_FILE: _secret(IDENTITY_NAME, "tls_certificate", certificate),
        ROOT_FILE: _secret(ROOT_NAME, "validation_context", {"trusted_ca": {"inline_string": root}}),
    }


def _secret(name: str, kind: str, content: Document) -> Document:
    return {"resources": [{"@type": f"{_TLS}.Secret", "name": name, kind: content}]}


def _locality(node: EnvoyNode) -> Document:
    """Kubernetes copies both from the Node to the Pods that run there."""
    place = {name: node.labels.get(f"topology.kubernetes.io/{name}", "") for name in ("region", "zone")}
    return {"locality": place} if place["zone"] else {}


def _metadata(node: EnvoyNode) -> Document:
    return {
        "NAMESPACE": node.namespace,
        "NAME": node.pod,
        "SERVICE_ACCOUNT": node.service_account,
        "LABELS": dict(node.labels),
        "INSTANCE_IPS": node.pod_ip,
        "GENERATOR": "envoy",
        "SDS_DIR": node.secrets_dir,
    }


def _xds_cluster(node: EnvoyNode) -> Document:
    endpoint = {"endpoint": {"address": _socket_address(node.discovery_host, node.discovery_port)}}
    return {
        "name": _XDS_CLUSTER,
        "type": "STATIC" if _is_address(node.discovery_host) else "STRICT_DNS",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": _XDS_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": {
                    "http2_protocol_options": {
                        "connection_keepalive": {
                            "interval": "30s",
                            "timeout": "10s",
                        }  # notices a vanished peer
                    }
                },
            }
        },
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": _tls(node)},
    }


def _tls(node: EnvoyNode) -> Document:
    server = f"spiffe://{node.trust_domain}/ns/{node.control_plane_namespace}/sa/{node.control_plane_account}"
    san = {"san_type": "URI", "matcher": {"exact": server}}
    return {
        "@type": f"{_TLS}.UpstreamTlsContext",
        "sni": f"{node.control_plane_account}.{node.control_plane_namespace}.svc",
        "common_tls_context": {
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_3",
                "tls_maximum_protocol_version": "TLSv1_3",
            },
            "alpn_protocols": ["h2"],
            "tls_certificate_sds_secret_configs": [
                _sds(IDENTITY_NAME, f"{node.secrets_dir}/{IDENTITY_FILE}")
            ],
            "combined_validation_context": {
                "default_validation_context": {"match_typed_subject_alt_names": [san]},
                "validation_context_sds_secret_config": _sds(ROOT_NAME, f"{node.secrets_dir}/{ROOT_FILE}"),
            },
        },
    }


def _sds(name: str, path: str) -> Document:
    return {
        "name": name,
        "sds_config": {"path_config_source": {"path": path}, "resource_api_version": _V3},
    }


def _socket_address(host: str, port: int) -> Document:
    return {"socket_address": {"address": host, "port_value": port}}


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
