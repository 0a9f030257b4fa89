"""Gateway, GatewayClass, BackendTLSPolicy, Secret, Ingress, ReferenceGrant and the stream routes."""

import pytest

from control_plane.resources.label_selector import LabelSelector
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import BY_KIND, parse
from control_plane.resources.secret import Secret
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.resources.refusal import causes, manifest, with_spec

GATEWAY = manifest("""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: infra}
spec:
  gatewayClassName: meshproxy
  listeners:
  - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - name: https
    port: 443
    protocol: HTTPS
    hostname: "*.example.com"
    tls: {certificateRefs: [{name: cert, namespace: certs}]}
    allowedRoutes:
      kinds: [{kind: HTTPRoute}]
      namespaces:
        from: Selector
        selector: {matchLabels: {team: a}, matchExpressions: [{key: env, operator: In, values: [prod]}]}
  - {name: tls, port: 8443, protocol: TLS, hostname: a.example.com, tls: {mode: Passthrough}}
  - {name: tcp, port: 9000, protocol: TCP}
  addresses: [{type: IPAddress, value: 10.0.0.1}, {type: Hostname, value: gw.example.com}]
  infrastructure: {labels: {a: b}}
  tls:
    frontend:
      default: {validation: {caCertificateRefs: [{group: "", kind: ConfigMap, name: clients}]}}
      perPort: [{port: 8443, tls: {}}]
""")
CLASS = manifest("""
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: meshproxy}
spec: {controllerName: meshproxy.io/gateway-controller, description: ours}
""")
BACKEND_TLS = manifest("""
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: tls, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: catalog, sectionName: https}]
  validation:
    caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]
    hostname: catalog.example.com
    subjectAltNames: [{type: URI, uri: "spiffe://a/b"}, {type: Hostname, hostname: a.example.com}]
""")
SECRET = manifest("""
apiVersion: v1
kind: Secret
metadata: {name: cert, namespace: certs}
type: kubernetes.io/tls
data: {tls.crt: YQ==, tls.key: Yg==}
""")
INGRESS = manifest("""
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec:
  ingressClassName: meshproxy
  defaultBackend: {service: {name: web, port: {number: 80}}}
  tls: [{hosts: [a.example.com], secretName: cert}]
  rules:
  - host: a.example.com
    http: {paths: [{path: /a, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}]}
""")
INGRESS_CLASS = manifest("""
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: meshproxy}
spec: {controller: meshproxy.io/ingress-controller}
""")
GRANT = build.reference_grant("g", namespace="other", from_namespace="shop")
TCP = build.stream_route("TCPRoute", "tcp", build.backend("db", 3306))
TLS = build.stream_route("TLSRoute", "tls", build.backend("db", 3306))


@pytest.mark.parametrize(
    "wanted", [GATEWAY, CLASS, BACKEND_TLS, SECRET, INGRESS, INGRESS_CLASS, GRANT, TCP, TLS]
)
def test_everything_the_standard_has_is_accepted_and_comes_back_as_it_was(wanted: Manifest) -> None:
    assert causes(wanted) == {}
    assert parse(wanted).to_manifest() == wanted


LISTENER: Manifest = {"name": "a", "port": 1, "protocol": "HTTP"}
SECRETS = {"certificateRefs": [{"name": "c"}]}


@pytest.mark.parametrize(
    ("listener", "message"),
    [
        ({"tls": SECRETS}, "tls: not possible with protocol HTTP"),
        ({"protocol": "HTTPS", "tls": {"mode": "Passthrough"}}, "must be Terminate"),
        ({"protocol": "HTTPS", "tls": {}}, "at least one certificate"),
        ({"protocol": "TLS", "tls": SECRETS}, "must be set for protocol TLS"),
        ({"protocol": "TLS"}, "must be set for protocol TLS"),
        ({"protocol": "TCP", "hostname": "a.b"}, "hostname: not possible"),
        ({"protocol": "a b"}, "must be HTTP, HTTPS"),
        ({"hostname": "10.0.0.1"}, "not an IP address"),
        ({"allowedRoutes": {"namespaces": {"from": "Some"}}}, "'All', 'Selector', 'Same' or 'None'"),
        (
            {
                "allowedRoutes": {
                    "namespaces": {"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}
                }
            },
            "values: required for In",
        ),
    ],
)
def test_refuses_listeners(listener: Manifest, message: str) -> None:
    found = causes(with_spec(GATEWAY, listeners=[{**LISTENER, **listener}]))
    assert any(message in text for text in found.values()), found


@pytest.mark.parametrize(
    ("wanted", "spec", "message"),
    [
        (GATEWAY, {"listeners": []}, "at least 1"),
        (GATEWAY, {"listeners": [LISTENER, {**LISTENER, "port": 2}]}, "must be unique"),
        (GATEWAY, {"listeners": [LISTENER, {**LISTENER, "name": "b"}]}, "same port, protocol and hostname"),
        (GATEWAY, {"addresses": [{"value": "a"}]}, "IPv4 or IPv6"),
        (GATEWAY, {"addresses": [{"value": "10.0.0.1"}] * 2}, "listed twice"),
        (
            GATEWAY,
            {"tls": {"frontend": {"default": {}, "perPort": [{"port": 1, "tls": {}}] * 2}}},
            "listed twice",
        ),
        (GATEWAY, {"allowedListeners": {}}, "not supported"),
        (GATEWAY, {"tls": {"backend": {"clientCertificateRef": {"name": "a"}}}}, "not supported"),
        (CLASS, {"controllerName": "meshproxy"}, "a domain and a path"),
        (BACKEND_TLS, {"validation": {"hostname": "a.b"}}, "exactly one of caCertificateRefs"),
        (
            BACKEND_TLS,
            {
                "validation": {
                    "hostname": "a.b",
                    "wellKnownCACertificates": "System",
                    "subjectAltNames": [{"type": "URI"}],
                }
            },
            "uri: required",
        ),
        (
            BACKEND_TLS,
            {"targetRefs": [{"group": "", "kind": "Service", "name": "a"}] * 2},
            "sectionName is required",
        ),
        (INGRESS, {"rules": None, "defaultBackend": None}, "either defaultBackend or rules"),
        (
            INGRESS,
            {"defaultBackend": {"service": {"name": "a", "port": {}}}},
            "exactly one of number and name",
        ),
        (
            INGRESS_CLASS,
            {"parameters": {"kind": "A", "name": "b", "scope": "Namespace"}},
            "namespace: required",
        ),
        (GRANT, {"to": []}, "at least 1"),
        (GRANT, {"from": [{"group": "", "kind": "A"}]}, "required"),
        (TCP, {"rules": [{"backendRefs": [build.backend("a")]}] * 2}, "at most 1"),
        (TCP, {"rules": [{"backendRefs": []}]}, "at least 1"),
        (TLS, {"hostnames": []}, "at least 1"),
        (TLS, {"hostnames": ["10.0.0.1"]}, "not an IP address"),
    ],
)
def test_refuses(wanted: Manifest, spec: Manifest, message: str) -> None:
    found = causes(with_spec(wanted, **spec))
    assert any(message in text for text in found.values()), found


@pytest.mark.parametrize(
    ("change", "field"),
    [({"data": {"tls.crt": "YQ=="}}, ""), ({"data": {"tls.crt": "?", "tls.key": "Yg=="}}, "data[tls.crt]")],
)
def test_refuses_secrets_and_never_shows_a_value(change: Manifest, field: str) -> None:
    assert field in causes({**SECRET, **change})
    assert "YQ==" not in repr(Secret.parse(SECRET))


def test_text_of_a_secret_goes_before_its_data() -> None:
    secret = Secret.parse({**SECRET, "stringData": {"tls.key": "new"}})
    assert secret.decoded() == {"tls.crt": b"a", "tls.key": b"new"}


@pytest.mark.parametrize(
    ("operator", "labels", "matches"),
    [
        ("In", {"a": "1"}, True),
        ("In", {"a": "2"}, False),
        ("NotIn", {}, True),
        ("NotIn", {"a": "1"}, False),
        ("Exists", {"a": "9"}, True),
        ("DoesNotExist", {"a": "9"}, False),
    ],
)
def test_label_selectors(operator: str, labels: dict[str, str], matches: bool) -> None:
    values = ["1"] if operator in ("In", "NotIn") else []
    expression = {"key": "a", "operator": operator, "values": values}
    assert LabelSelector.model_validate({"matchExpressions": [expression]}).matches(labels) is matches


def test_older_versions_are_read_as_the_stored_one() -> None:
    old = {**GRANT, "apiVersion": "gateway.networking.k8s.io/v1beta1"}
    assert parse(old).api_version == "gateway.networking.k8s.io/v1"
    assert "apiVersion" in causes({**GRANT, "apiVersion": "gateway.networking.k8s.io/v1alpha1"})
    versions = [entry.api_version for entry in BY_KIND["TCPRoute"].in_every_version()]
    assert versions == ["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha2"]
