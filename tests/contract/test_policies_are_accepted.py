"""Stock Envoy accepts what every policy becomes, and acts on it."""

import asyncio
from collections import Counter

import pytest

from control_plane.resources.manifest import Manifest
from tests.contract.one_pod_mesh import Mesh, create, running_mesh

pytestmark = pytest.mark.privileged

REF: Manifest = {"group": "", "kind": "Service", "name": "catalog"}
HASH = [{"header": "x-user", "terminal": True}, {"cookie": {"name": "sid", "ttl": "1h"}}, {"query": "u"}]
FEATURES: dict[str, Manifest] = {
    "timeouts": {
        "timeouts": {
            "request": "10s",
            "perTry": "2s",
            "streamIdle": "1m",
            "connectionIdle": "1h",
            "connect": "1s",
            "header": "3s",
        }
    },
    "retry": {
        "retry": {
            "attempts": 3,
            "retryOn": ["5xx", "reset", "gateway-error", "envoy-ratelimited", "retriable-4xx"],
            "codes": [503],
            "headers": [{"name": "x-again", "type": "Present"}, {"name": "x-mood", "value": "bad"}],
            "backoff": {"base": "10ms", "max": "1s"},
            "respectRetryAfter": True,
            "budget": {"percent": 20, "minPerSecond": 10},
        }
    },
    "no-retry": {"retry": {"attempts": 0}},
    "limits": {
        "limits": {
            "maxConnections": 10,
            "maxPendingRequests": 10,
            "maxRequests": 10,
            "maxRetries": 3,
            "maxRequestsPerConnection": 100,
        }
    },
    "upgrade": {"h2UpgradePolicy": "Upgrade"},
    "breaker": {"circuitBreaker": {}},
    "outlier": {
        "outlierDetection": {
            "interval": "1s",
            "baseEjectionTime": "1s",
            "maxEjectionTime": "10s",
            "maxEjectionTimeJitter": "1s",
            "maxEjectionPercent": 50,
            "alwaysEjectOneHost": False,
            "consecutive5xx": 3,
            "enforcingConsecutive5xx": 90,
            "consecutiveGatewayFailure": 3,
            "splitExternalLocalOriginErrors": True,
            "consecutiveLocalOriginFailure": 3,
            "enforcingConsecutiveLocalOriginFailure": 100,
            "successRate": {"enforcingLocalOrigin": 100},
            "failurePercentage": {},
            "successfulActiveHealthCheckUnejectHost": False,
        }
    },
    "http-health": {
        "healthCheck": {"http": {"path": "/healthz", "expectedStatuses": [{"start": 200, "end": 299}]}}
    },
    "tcp-health": {"healthCheck": {"tcp": {"send": "PING", "receive": "PONG"}}},
    "connect-health": {"healthCheck": {"tcp": {}}},
    "least-request": {
        "loadBalancer": {
            "policy": "LeastRequest",
            "leastRequest": {"choiceCount": 3, "activeRequestBias": 0.5},
            "slowStart": {"window": "30s", "aggression": 2.0, "minWeightPercent": 5},
            "panicThreshold": 0,
        }
    },
    "round-robin": {"loadBalancer": {"slowStart": {"window": "30s"}}},
    "random": {"loadBalancer": {"policy": "Random"}},
    "peak-ewma": {"loadBalancer": {"policy": "PeakEWMA"}},
    "ring-hash": {
        "loadBalancer": {"policy": "RingHash", "ringHash": {"minimumRingSize": 64}, "hashOn": HASH}
    },
    "maglev": {
        "loadBalancer": {"policy": "Maglev", "maglev": {"tableSize": 251}, "hashOn": [{"sourceIP": True}]}
    },
    "subsets": {"subsets": [{"name": "v1", "labels": {"version": "v1"}}]},
    "cookie": {"sessionAffinity": {"cookie": {"name": "mesh", "ttl": "1h"}}},
    "header": {"sessionAffinity": {"header": {"name": "x-session"}}},
}


def policy(kind: str, name: str, target: str, **spec: object) -> Manifest:
    return {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"targetRefs": [{**REF, "name": target}], **spec},
    }


def entry(name: str, **spec: object) -> Manifest:
    return {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": "ServiceEntry",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": spec,
    }


def _rejected(mesh: Mesh) -> dict[str, int]:
    return {name: count for name, count in mesh.stats(r"update_rejected$").items() if count}


async def _settled(mesh: Mesh) -> None:
    """Until Envoy has answered for everything that was sent."""
    async with asyncio.timeout(60):
        while await mesh.sync_states() != {"SYNCED"}:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.05)


async def test_envoy_accepts_every_feature_and_acts_on_it() -> None:
    async with running_mesh() as mesh:
        for name, spec in FEATURES.items():
            # `v2` has no routes of its own: what its clients get is the policy's alone.
            await mesh.api.create(policy("TrafficPolicy", "one", "v2", **spec))
            await asyncio.sleep(0.3)
            await _settled(mesh)
            assert not _rejected(mesh), name
            status, _ = await asyncio.to_thread(mesh.get, "/", "v2.shop")
            assert status in (200, 503), name
            await mesh.api.delete("TrafficPolicy", "one", "shop")
        await _subsets(mesh)
        await _faults(mesh)
        await _limits(mesh)
        await _entries(mesh)
        assert not _rejected(mesh)


async def _subsets(mesh: Mesh) -> None:
    """A rule's requests go to the subset alone, and nowhere when it is empty."""

    def subset(version: str) -> Manifest:
        return {"subsets": [{"name": "mine", "labels": {"version": version}}]}

    route = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}
    chosen = policy("TrafficPolicy", "chosen", "split", subset="mine", timeouts={"request": "3s"})
    spec = chosen["spec"]
    assert isinstance(spec, dict)
    spec["targetRefs"] = [{**route, "name": "split"}]
    for name in ("v1", "v2"):
        await mesh.api.create(policy("TrafficPolicy", name, name, **subset(name)))
    await mesh.until(lambda: mesh.get("/only/v2")[0] == 200, "no route without a subset")
    await mesh.api.create(chosen)
    await asyncio.sleep(0.3)
    await _settled(mesh)
    assert await asyncio.to_thread(mesh.get_many, "/only/v2", 5) == {"v2": 5}
    await mesh.api.delete("TrafficPolicy", "v2", "shop")
    await mesh.api.create(policy("TrafficPolicy", "v2", "v2", **subset("v9")))
    await mesh.until(lambda: mesh.get("/only/v2")[0] == 503, "an empty subset falls back")
    for name in ("chosen", "v1", "v2"):
        await mesh.api.delete("TrafficPolicy", name, "shop")
    await mesh.until(lambda: mesh.get("/only/v2")[0] == 200, "the subset stays")


async def _faults(mesh: Mesh) -> None:
    abort = {"httpStatus": 418, "percent": 100}
    await mesh.api.create(policy("FaultPolicy", "broken", "v2", abort=abort, delay={"fixed": "1ms"}))
    await mesh.until(lambda: mesh.get("/", "v2.shop")[0] == 418, "no fault")
    await mesh.api.delete("FaultPolicy", "broken", "shop")
    await mesh.until(lambda: mesh.get("/", "v2.shop")[0] == 200, "the fault stays")


async def _limits(mesh: Mesh) -> None:
    def statuses() -> Counter[int]:
        return Counter(mesh.get("/", "v1.shop")[0] for _ in range(6))

    for total in ({"requests": 2, "unit": "1h"}, None):
        identity = {"requests": 3, "unit": "1h", "clientIdentity": True}
        spec = {"perKey": [identity], **({"total": total} if total else {})}
        await mesh.api.create(policy("RateLimitPolicy", "fair", "v1", **spec))
        await mesh.until(lambda: 429 in statuses(), f"no limit with total {total}")
        await mesh.api.delete("RateLimitPolicy", "fair", "shop")
        await mesh.until(lambda: statuses() == {200: 6}, "the limit stays")


async def _entries(mesh: Mesh) -> None:
    http = {"number": 8080, "name": "http", "protocol": "HTTP"}
    tcp = {"number": 7777, "name": "tcp", "protocol": "TCP", "targetPort": 8080}
    secure = {"number": 8080, "name": "http", "protocol": "HTTP", "targetPort": 443, "tls": {}}
    await create(
        mesh.api,
        entry(
            "static",
            hosts=["static.example"],
            addresses=["10.96.9.9"],
            ports=[http, tcp],
            resolution="STATIC",
            endpoints=[{"address": "10.244.0.12", "weight": 3}],
        ),
    )
    await create(mesh.api, entry("dns", hosts=["localhost.example"], ports=[secure], resolution="DNS"))
    await create(mesh.api, entry("none", hosts=["none.example"], ports=[http], resolution="NONE"))
    await mesh.until(lambda: mesh.get("/", "static.example")[0] == 200, "no such host")
    await mesh.until(
        lambda: mesh.get_from("10.96.9.9", 7777, "/", "any")[0] == 200, "no listener for the address"
    )
    await _settled(mesh)
