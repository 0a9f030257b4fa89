"""Who is called, where the endpoint is nothing but an address."""

import pytest

from meshproxy.config.model import Direction, Endpoint, UpstreamTls, WorkloadIdentity
from meshproxy.proxy.reporter import Reporter
from meshproxy.proxy.services import ConnectionFacts
from meshproxy.telemetry.metrics import MeshMetrics
from meshproxy.upstream.connector import DialTarget
from meshproxy.upstream.endpoint import EndpointRuntime
from meshproxy.upstream.pool import PoolSettings
from tests.unit.meshproxy.routing.request import request

DATABASE = WorkloadIdentity("db", "shop", "db", "v1", "db", "c")
IDENTITY = "spiffe://cluster.local/ns/shop/sa/db"


@pytest.mark.parametrize(
    ("identities", "principal"),
    [((IDENTITY,), IDENTITY), ((IDENTITY, "spiffe://cluster.local/ns/shop/sa/web"), "unknown")],
)
def test_an_address_is_known_by_who_lives_there_and_by_what_it_must_prove(
    identities: tuple[str, ...], principal: str
) -> None:
    metrics = MeshMetrics()
    places = {"10.0.0.9": DATABASE}
    reporter = Reporter(metrics, WorkloadIdentity("web", "shop"), "me", places.get)
    tls = UpstreamTls("sni", ("istio",), identities)
    target = DialTarget("10.0.0.9", 3306, 1.0, tls=tls)
    endpoint = EndpointRuntime(Endpoint("10.0.0.9", 3306), target, PoolSettings())
    facts = ConnectionFacts(Direction.OUTBOUND, "10.0.0.8", ("10.0.0.9", 3306))
    reporter.http(facts, request(), None, endpoint, 200, "", 1.0, 0, 0)
    (line,) = [
        one for one in "".join(metrics.exposition()).splitlines() if one.startswith("istio_requests_total{")
    ]
    assert 'destination_workload="db"' in line
    assert f'destination_principal="{principal}"' in line
