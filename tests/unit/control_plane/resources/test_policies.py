"""TrafficPolicy, FaultPolicy, RateLimitPolicy, ServiceEntry: what is accepted, which field is refused."""

import pytest

from control_plane.resources.gateway_field import milliseconds
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import parse
from control_plane.resources.traffic_policy import TrafficPolicy
from tests.unit.control_plane.resources.refusal import causes, manifest, with_spec

SERVICE = {"group": "", "kind": "Service", "name": "catalog"}
ROUTE = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "split"}

FULL = manifest("""
apiVersion: meshproxy.io/v1alpha1
kind: TrafficPolicy
metadata: {name: catalog, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: catalog, sectionName: http}]
  timeouts: {request: 10s, perTry: 2s, streamIdle: 0s, connectionIdle: 1h, connect: 500ms, header: 5s}
  retry:
    attempts: 3
    retryOn: [5xx, reset]
    codes: [503]
    headers: [{name: x-again, type: Present}, {name: x-mood, value: bad}]
    backoff: {base: 50ms, max: 1s}
    respectRetryAfter: true
    budget: {percent: 25, minPerSecond: 5}
    otherHosts: false
  limits: {maxConnections: 100, maxPendingRequests: 0, maxRequests: 200, maxRequestsPerConnection: 1000}
  circuitBreaker: {failureThreshold: 5, baseOpen: 2s, maxOpen: 30s, jitter: 10}
  outlierDetection:
    interval: 5s
    baseEjectionTime: 10s
    maxEjectionTime: 1m
    splitExternalLocalOriginErrors: true
    consecutiveLocalOriginFailure: 3
    successRate: {stdevFactor: 2.5, enforcingLocalOrigin: 50}
    failurePercentage: {threshold: 60}
  healthCheck: {http: {path: /healthz, expectedStatuses: [{start: 200, end: 299}]}, interval: 3s}
  loadBalancer:
    policy: RingHash
    ringHash: {minimumRingSize: 64, maximumRingSize: 128}
    hashOn: [{header: x-user, terminal: true}, {cookie: {name: sid, ttl: 1h, path: /}}, {sourceIP: true}]
    panicThreshold: 0
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
  sessionAffinity: {cookie: {name: mesh}}
""")
FAULT = manifest("""
apiVersion: meshproxy.io/v1alpha1
kind: FaultPolicy
metadata: {name: slow, namespace: shop}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: split, sectionName: rest}]
  delay: {fixed: 2s, percent: 12.5}
  abort: {httpStatus: 503, percent: 30}
  headers: [{name: x-chaos, value: "1"}]
""")
RATE = manifest("""
apiVersion: meshproxy.io/v1alpha1
kind: RateLimitPolicy
metadata: {name: fair, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: catalog}]
  total: {requests: 100, unit: 1s, burst: 200}
  perKey: [{requests: 10, unit: 2s, clientIdentity: true}, {requests: 5, header: {name: x-user}}]
""")
ENTRY = manifest("""
apiVersion: meshproxy.io/v1alpha1
kind: ServiceEntry
metadata: {name: api, namespace: shop}
spec:
  hosts: [api.example.com, www.example.com]
  addresses: [240.0.0.1]
  ports:
  - {number: 80, name: http, protocol: HTTP, targetPort: 443, tls: {sni: api.example.com}}
  - {number: 5432, name: db, protocol: TCP}
  resolution: STATIC
  endpoints: [{address: 192.0.2.1, ports: {http: 8443}, weight: 3}]
""")


@pytest.mark.parametrize("whole", [FULL, FAULT, RATE, ENTRY])
def test_everything_said_at_once_is_accepted_and_travels_unchanged(whole: Manifest) -> None:
    assert parse(whole).to_manifest() == whole


@pytest.mark.parametrize(
    ("text", "expected"), [("1h", 3_600_000), ("1m30s", 90_000), ("250ms", 250), ("0s", 0), ("1s1ms", 1_001)]
)
def test_durations(text: str, expected: int) -> None:
    assert milliseconds(text) == expected


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"targetRefs": []}, "spec.targetRefs", "at least 1"),
        ({"targetRefs": [SERVICE, SERVICE]}, "spec.targetRefs", "[1]: the same"),
        ({"targetRefs": [{**SERVICE, "kind": "HTTPRoute"}]}, "spec.targetRefs[0].kind", "is of group"),
        ({"targetRefs": [{**SERVICE, "group": "apps"}]}, "spec.targetRefs[0].group", "must be"),
        ({"targetRefs": [{**SERVICE, "kind": "Pod"}]}, "spec.targetRefs[0].kind", "must be"),
        ({"targetRefs": [{**SERVICE, "namespace": "x"}]}, "spec.targetRefs[0].namespace", "unknown field"),
        ({"timeouts": {"request": "10"}}, "spec.timeouts.request", "must be a duration"),
        ({"timeouts": {"request": "1.5s"}}, "spec.timeouts.request", "must be a duration"),
        ({"timeouts": {"connect": "0s"}}, "spec.timeouts.connect", "longer than 0"),
        ({"timeouts": {"request": "1s", "perTry": "1s"}}, "spec.timeouts.perTry", "never fire"),
        ({"timeouts": {"retry": "1s"}}, "spec.timeouts.retry", "unknown field"),
        ({"retry": {"attempts": -1}}, "spec.retry.attempts", "greater than or equal to 0"),
        ({"retry": {"retryOn": ["4xx"]}}, "spec.retry.retryOn[0]", "must be"),
        ({"retry": {"codes": [200]}}, "spec.retry.codes[0]", "greater than or equal to 400"),
        ({"retry": {"headers": [{"name": "a b"}]}}, "spec.retry.headers[0].name", "header name"),
        ({"retry": {"headers": [{"name": "a"}]}}, "spec.retry.headers[0].value", "required for type Exact"),
        (
            {"retry": {"headers": [{"name": "a", "type": "Present", "value": "1"}]}},
            "spec.retry.headers[0].value",
            "not with type Present",
        ),
        ({"retry": {"headers": [{"name": "a", "value": "\n"}]}}, "spec.retry.headers[0].value", "visible"),
        ({"retry": {"backoff": {"base": "1s", "max": "1ms"}}}, "spec.retry.backoff.max", "not be shorter"),
        ({"retry": {"backoff": {"max": "1ms"}}}, "spec.retry.backoff.max", "base (25ms)"),
        ({"retry": {"budget": {"percent": 101}}}, "spec.retry.budget.percent", "less than or equal to 100"),
        ({"limits": {"maxRetries": 1}}, "spec.limits", "maxRetries: not together"),
        ({"limits": {"maxConnections": 0}}, "spec.limits.maxConnections", "greater than or equal to 1"),
        ({"circuitBreaker": {"baseOpen": "2m"}}, "spec.circuitBreaker", "maxOpen: must not be shorter"),
        (
            {"outlierDetection": {"baseEjectionTime": "1m", "maxEjectionTime": "1s"}},
            "spec.outlierDetection.maxEjectionTime",
            "not be shorter",
        ),
        (
            {"outlierDetection": {"consecutiveLocalOriginFailure": 1}},
            "spec.outlierDetection.consecutiveLocalOriginFailure",
            "only with splitExternalLocalOriginErrors",
        ),
        (
            {"outlierDetection": {"successRate": {"enforcingLocalOrigin": 1}}},
            "spec.outlierDetection.successRate",
            "only with splitExternalLocalOriginErrors",
        ),
        (
            {"outlierDetection": {"maxEjectionPercent": 101}},
            "spec.outlierDetection.maxEjectionPercent",
            "less",
        ),
        ({"healthCheck": {}}, "spec.healthCheck", "exactly one of http, tcp, grpc"),
        ({"healthCheck": {"http": {"path": "x"}}}, "spec.healthCheck.http.path", "match pattern"),
        (
            {"healthCheck": {"http": {"path": "/", "expectedStatuses": [{"start": 300, "end": 200}]}}},
            "spec.healthCheck.http.expectedStatuses[0].end",
            "below start",
        ),
        ({"loadBalancer": {"policy": "First"}}, "spec.loadBalancer.policy", "must be"),
        ({"loadBalancer": {"policy": "Maglev"}}, "spec.loadBalancer", "hashOn: required"),
        ({"loadBalancer": {"hashOn": [{"sourceIP": True}]}}, "spec.loadBalancer", "hashOn: only"),
        ({"loadBalancer": {"ringHash": {}}}, "spec.loadBalancer.ringHash", "only with policy RingHash"),
        (
            {"loadBalancer": {"policy": "Maglev", "hashOn": [{"header": "a", "query": "b"}]}},
            "spec.loadBalancer.hashOn[0]",
            "exactly one",
        ),
        (
            {"loadBalancer": {"policy": "Maglev", "hashOn": [{"header": "a"}], "maglev": {"tableSize": 9}}},
            "spec.loadBalancer.maglev.tableSize",
            "prime",
        ),
        (
            {"loadBalancer": {"policy": "RingHash", "ringHash": {"maximumRingSize": 10}}},
            "spec.loadBalancer.ringHash.maximumRingSize",
            "below minimumRingSize",
        ),
        (
            {"loadBalancer": {"policy": "Random", "slowStart": {"window": "1m"}}},
            "spec.loadBalancer.slowStart",
            "only with policy RoundRobin",
        ),
        ({"loadBalancer": {"locality": {}}}, "spec.loadBalancer.locality", "set exactly one of zoneAware"),
        (
            {"loadBalancer": {"locality": {"zoneAware": {}, "failover": {}}}},
            "spec.loadBalancer.locality",
            "set exactly one of zoneAware",
        ),
        (
            {"loadBalancer": {"locality": {"failover": {"regions": [{"from": "a", "to": "a"}]}}}},
            "spec.loadBalancer.locality.failover",
            "from and to must differ",
        ),
        (
            {"loadBalancer": {"locality": {"failover": {"regions": [{"from": "a", "to": "b"}] * 2}}}},
            "spec.loadBalancer.locality.failover",
            "two have the same from",
        ),
        (
            {"loadBalancer": {"locality": {"distribute": [{"from": "*", "to": {"a/*": 99}}]}}},
            "spec.loadBalancer.locality.distribute[0]",
            "adds up to 99",
        ),
        *(
            (
                {"loadBalancer": {"locality": {"distribute": [{"from": place, "to": {"*": 100}}]}}},
                "spec.loadBalancer.locality.distribute[0].from",
                "must be region/zone",
            )
            for place in ("a", "", "a/", "*/b", "a/b/c", "a/b*", "**")
        ),
        ({"subsets": [{"name": "v1", "labels": {}}]}, "spec.subsets[0].labels", "at least 1"),
        ({"subsets": [{"name": "v", "labels": {"a": "b"}}] * 2}, "spec.subsets", "[1].name: the same"),
        ({"subset": "v1"}, "spec.subset", "only be set for HTTPRoutes"),
        ({"sessionAffinity": {}}, "spec.sessionAffinity", "exactly one of cookie, header"),
        ({"mirror": {}}, "spec.mirror", "unknown field"),
    ],
)
def test_traffic_policy_refuses(spec: dict[str, object], field: str, message: str) -> None:
    assert message in causes(with_spec(FULL, **spec))[field]


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"limits": {"maxRequests": 1}}, "spec.limits", "only be set for Services"),
        ({"circuitBreaker": {}}, "spec.circuitBreaker", "only be set for Services"),
        ({"outlierDetection": {}}, "spec.outlierDetection", "only be set for Services"),
        ({"healthCheck": {"tcp": {}}}, "spec.healthCheck", "only be set for Services"),
        ({"loadBalancer": {}}, "spec.loadBalancer", "only be set for Services"),
        ({"subsets": [{"name": "v", "labels": {"a": "b"}}]}, "spec.subsets", "only be set for Services"),
        ({"h2UpgradePolicy": "Upgrade"}, "spec.h2UpgradePolicy", "only be set for Services"),
        ({"timeouts": {"connect": "1s"}}, "spec.timeouts", "connect: can only be set for Services"),
        ({"timeouts": {"connectionIdle": "1s"}}, "spec.timeouts", "connectionIdle: can only"),
        ({"timeouts": {"header": "1s"}}, "spec.timeouts", "header: can only"),
        ({"retry": {"budget": {}}}, "spec.retry", "budget: can only be set for Services"),
        ({"retry": {"attemptCount": True}}, "spec.retry", "attemptCount: can only be set for Services"),
    ],
)
def test_what_is_the_clusters_cannot_be_set_for_a_route(
    spec: dict[str, object], field: str, message: str
) -> None:
    policy = {**FULL, "spec": {"targetRefs": [ROUTE], **spec}}
    assert message in causes(policy)[field]


def test_a_route_may_have_timeouts_retries_and_a_subset() -> None:
    spec = {"targetRefs": [ROUTE], "timeouts": {"request": "1s"}, "retry": {}, "subset": "v1"}
    assert causes({**FULL, "spec": spec}) == {}


def test_defaults() -> None:
    spec = {"targetRefs": [SERVICE], "retry": {"budget": {}}, "circuitBreaker": {}}
    policy = TrafficPolicy.parse({**FULL, "spec": spec}).spec
    assert policy.retry is not None
    assert policy.retry.budget is not None
    assert (policy.retry.budget.percent, policy.retry.budget.min_per_second) == (20, 10)
    assert (policy.retry.attempts, policy.retry.other_hosts) == (2, True)
    assert not policy.targets_a_route


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"delay": None, "abort": None}, "spec", "set delay, abort or both"),
        ({"delay": {"fixed": "0s"}}, "spec.delay.fixed", "longer than 0"),
        ({"delay": {"fixed": "1s", "percent": 100.5}}, "spec.delay.percent", "less than or equal"),
        ({"abort": {"httpStatus": 600}}, "spec.abort.httpStatus", "less than or equal to 599"),
        ({"abort": {"grpcStatus": 17}}, "spec.abort.grpcStatus", "less than or equal to 16"),
        (
            {"abort": {"grpcStatus": 14, "httpStatus": 503}},
            "spec.abort",
            "exactly one of httpStatus, grpcStatus",
        ),
        ({"abort": {}}, "spec.abort", "exactly one of httpStatus, grpcStatus"),
    ],
)
def test_fault_policy_refuses(spec: dict[str, object], field: str, message: str) -> None:
    assert message in causes(with_spec(FAULT, **spec))[field]


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"total": None, "perKey": None}, "spec", "set total, perKey or both"),
        ({"total": {"requests": 1, "unit": "10ms"}}, "spec.total.unit", "at least 50ms"),
        ({"total": {"requests": 5, "burst": 4}}, "spec.total.burst", "below requests"),
        ({"perKey": [{"requests": 1}]}, "spec.perKey[0]", "exactly one of clientIdentity, header"),
        (
            {"perKey": [{"requests": 1, "unit": "1500ms", "clientIdentity": True}]},
            "spec.perKey",
            "[0].unit: must be a multiple",
        ),
    ],
)
def test_rate_limit_policy_refuses(spec: dict[str, object], field: str, message: str) -> None:
    assert message in causes(with_spec(RATE, **spec))[field]


HTTP_PORT = {"number": 80, "name": "http", "protocol": "HTTP"}
ENDPOINT = {"address": "192.0.2.1"}


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"hosts": ["*"]}, "spec.hosts[0]", "must be a DNS name"),
        ({"hosts": ["*.com"]}, "spec.hosts[0]", "must be a DNS name"),
        ({"hosts": ["a.*.com"]}, "spec.hosts[0]", "must be a DNS name"),
        (
            {"hosts": ["*.example.com"], "resolution": "DNS", "endpoints": None, "ports": [HTTP_PORT]},
            "spec",
            "endpoints: required with resolution DNS: *.example.com cannot be looked up",
        ),
        (
            {"hosts": ["*.example.com"], "ports": [{**HTTP_PORT, "tls": {}}], "endpoints": [ENDPOINT]},
            "spec",
            "ports: tls.sni is required with *.example.com",
        ),
        (
            {"endpoints": [{**ENDPOINT, "serviceAccount": "a"}], "ports": [HTTP_PORT]},
            "spec",
            "goes with location",
        ),
        (
            {"location": "MESH_INTERNAL", "resolution": "NONE", "endpoints": None, "ports": [HTTP_PORT]},
            "spec",
            "MESH_INTERNAL needs resolution",
        ),
        (
            {"location": "MESH_INTERNAL", "ports": [{**HTTP_PORT, "tls": {}}], "endpoints": [ENDPOINT]},
            "spec",
            "no tls with location",
        ),
        ({"hosts": ["a.b", "a.b"]}, "spec.hosts", "[1]: the same"),
        ({"hosts": ["a.shop.svc.cluster.local"]}, "spec.hosts", "write a Service"),
        ({"ports": [HTTP_PORT, HTTP_PORT]}, "spec.ports", "[1].number: 80 is there already"),
        ({"ports": [HTTP_PORT, {**HTTP_PORT, "number": 81}]}, "spec.ports", "[1].name: http"),
        (
            {"ports": [{**HTTP_PORT, "protocol": "TLS", "tls": {}}]},
            "spec.ports[0].tls",
            "not with protocol TLS",
        ),
        ({"endpoints": []}, "spec.endpoints", "required with resolution STATIC"),
        ({"resolution": "NONE"}, "spec.endpoints", "not with resolution NONE"),
        ({"endpoints": [{"address": "example.com"}]}, "spec.endpoints", "[0].address: must be an IP"),
        ({"endpoints": [{"address": "127.0.0.1"}]}, "spec.endpoints", "[0].address: must be an IP"),
        ({"endpoints": [{"address": "A_b"}], "resolution": "DNS"}, "spec.endpoints", "a DNS name"),
        ({"endpoints": [{"address": "192.0.2.1", "ports": {"x": 1}}]}, "spec.endpoints", "is called x"),
        ({"resolution": "NONE", "endpoints": None}, "spec", "ports: tls and targetPort need"),
        ({"addresses": []}, "spec", "addresses: required for TCP ports"),
    ],
)
def test_service_entry_refuses(spec: dict[str, object], field: str, message: str) -> None:
    assert message in causes(with_spec(ENTRY, **spec))[field]
