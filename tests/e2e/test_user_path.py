"""The way of a new user: a lab, and from there on nothing but kubectl. What each step took is printed."""

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab import lifecycle
from lab.paths import LabPaths
from tests.e2e.lab_host import assert_nothing_is_left, host_state, meshctl, namespaces_of
from tests.e2e.lab_kubectl import Kubectl, eventually

pytestmark = [
    pytest.mark.privileged,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed"),
]

PATHS = LabPaths.of(f"user-{os.getpid()}")
SHOP = "examples/shop"
PODS_OF_SHOP = 6
ACCEPTED = "jsonpath={.status.parents[0].conditions[?(@.type=='Accepted')].status}=True"
KUBECTL = Kubectl(PATHS)


@contextmanager
def step(capsys: pytest.CaptureFixture[str], what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    _say(capsys, f"{time.monotonic() - began:6.1f} s  {what}")


def _say(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        print(f"\n  {line}", end="")


def _watch_until_ready() -> dict[str, float]:
    """Each pod's seconds from when it was first seen to `2/2 Running`, as `kubectl get -w` tells."""
    seen: dict[str, float] = {}
    ready: dict[str, float] = {}
    with KUBECTL.running("get", "pods", "-n", "shop", "-w", "--no-headers") as watch:
        assert watch.stdout is not None
        for line in watch.stdout:
            name, containers, status, *_ = line.split()
            seen.setdefault(name, time.monotonic())
            if (containers, status) == ("2/2", "Running"):
                ready.setdefault(name, time.monotonic() - seen[name])
            if len(ready) == PODS_OF_SHOP:
                return ready
    raise AssertionError(f"the watch ended with {ready}")


def _versions(requests: int) -> Counter[str]:
    """Which version of catalog answered, how many times; all must be answered."""
    load = ("python", "-m", "examples.shop.load", "--request", "GET http://catalog:8080/products")
    ledger = json.loads(KUBECTL.execute("deploy/load", "shop", *load, "--limit", str(requests)))
    assert {status for *_, status, _, _ in ledger["records"]} == {200}
    return Counter(version for *_, version, _ in ledger["records"])


@contextmanager
def _load_on_web() -> Iterator[None]:
    """Requests all the while; none may fail."""
    line = ("python", "-m", "examples.shop.load", "--request", "GET http://web:8080/", "--until-eof")
    settings = ("--rate", "40", "--duration", "120")
    with KUBECTL.running("exec", "-i", "-n", "shop", "deploy/load", "--", *line, *settings) as load:
        assert load.stdout is not None
        assert load.stdin is not None
        yield
        load.stdin.close()
        ledger = json.loads(load.stdout.read())
    failed = [record for record in ledger["records"] if record[4] != 200]
    assert len(ledger["records"]) > 20
    assert failed == []


def _web_versions() -> set[str]:
    label = "jsonpath={.items[*].metadata.labels.version}"
    return set(KUBECTL("get", "pods", "-n", "shop", "-l", "app=web", "-o", label).split())


def test_a_new_user_needs_a_lab_and_kubectl(capsys: pytest.CaptureFixture[str]) -> None:
    before = host_state()
    try:
        with step(capsys, "meshctl lab up"):
            meshctl("up", "--name", PATHS.name)
        namespaces = namespaces_of(PATHS)
        _deploy(capsys)
        _split(capsys)
        _scale_and_roll_out(capsys)
        _delete(capsys)
    finally:
        lifecycle.stop(PATHS)
    assert_nothing_is_left(PATHS, before, namespaces)


def _deploy(capsys: pytest.CaptureFixture[str]) -> None:
    with step(capsys, "kubectl create namespace, label, apply -f examples/shop/manifests"):
        KUBECTL("create", "namespace", "shop", "--save-config")
        KUBECTL("label", "namespace", "shop", "meshproxy.io/injection=enabled")
        KUBECTL("apply", "-f", f"{SHOP}/manifests")
    with step(capsys, "kubectl get pods -w, until all are 2/2"):
        ready = _watch_until_ready()
    for name, seconds in sorted(ready.items(), key=lambda one: one[1]):
        _say(capsys, f"         {seconds:4.1f} s  {name}")
    described = KUBECTL("describe", "pods", "-n", "shop", "-l", "app=web")
    assert "Started container meshproxy" in described
    assert "draining" not in KUBECTL("logs", "-n", "shop", "deploy/web", "-c", "meshproxy")


def _split(capsys: pytest.CaptureFixture[str]) -> None:
    assert 60 < _versions(200)["v1"] < 140  # even, seven deviations wide
    with step(capsys, "kubectl apply -f the 90/10 HTTPRoute, until it holds"):
        KUBECTL("apply", "-f", f"{SHOP}/route-90-10.yaml")
        KUBECTL("wait", "httproute/catalog", "-n", "shop", f"--for={ACCEPTED}", "--timeout=120s")
        eventually(lambda: _versions(100)["v1"] > 75, lambda: KUBECTL("get", "httproutes", "-A"))
    counted = _versions(400)
    _say(capsys, f"         of 400 requests: {counted['v1']} to v1, {counted['v2']} to v2")
    assert 318 <= counted["v1"] <= 396  # 360, six to seven deviations wide


def _scale_and_roll_out(capsys: pytest.CaptureFixture[str]) -> None:
    status = ("rollout", "status", "deploy/web", "-n", "shop", "--timeout=120s")
    with step(capsys, "kubectl scale deploy/web --replicas=3, rollout status"):
        KUBECTL("scale", "deploy/web", "-n", "shop", "--replicas=3")
        assert "successfully rolled out" in KUBECTL(*status)
    with _load_on_web():
        with step(capsys, "kubectl apply -f web v2, rollout status, under load"):
            KUBECTL("apply", "-f", f"{SHOP}/web-v2.yaml")
            assert "successfully rolled out" in KUBECTL(*status)
        assert "v2" in _web_versions()
        with step(capsys, "kubectl rollout undo, rollout status, under load"):
            KUBECTL("rollout", "undo", "deploy/web", "-n", "shop")
            assert "successfully rolled out" in KUBECTL(*status)
    eventually(
        lambda: _web_versions() == {"v1"}, lambda: KUBECTL("get", "pods", "-n", "shop", "--show-labels")
    )


def _delete(capsys: pytest.CaptureFixture[str]) -> None:
    with step(capsys, "kubectl delete -f the HTTPRoute, until it is even again"):
        KUBECTL("delete", "-f", f"{SHOP}/route-90-10.yaml")
        eventually(lambda: _versions(100)["v1"] < 75, lambda: KUBECTL("get", "httproutes", "-A"))
    with step(capsys, "kubectl delete namespace shop outside"):
        KUBECTL("delete", "namespace", "shop", "outside", "--timeout=120s")
    assert "not found" in KUBECTL.attempt("get", "namespace", "shop").stderr
    assert "shop" not in KUBECTL("get", "pods", "-A")
