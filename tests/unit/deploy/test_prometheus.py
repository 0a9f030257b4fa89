"""Prometheus' configuration and rules, and targets in a lab."""

import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from deploy.prometheus.discovery import pod_targets, slice_targets, target_groups
from deploy.prometheus.lab_config import lab_config

HERE = Path(__file__).parents[3] / "deploy" / "prometheus"
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
META = "__meta_kubernetes_"


def pod(name: str, **spec: object) -> dict[str, object]:
    owner = {"kind": "ReplicaSet", "name": "web-1", "controller": True}
    marks = {"labels": {"app.kubernetes.io/name": "web"}, "annotations": {"prometheus.io/port": "15020"}}
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": "u", "ownerReferences": [owner], **marks},
        "spec": {"nodeName": "n", **spec},
        "status": {
            "podIP": "10.0.0.7",
            "hostIP": "10.0.0.1",
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def test_each_port_of_a_pod_is_a_target_and_so_is_a_container_without_any():
    ports = [{"name": "mesh-metrics", "containerPort": 15090}]
    found = pod_targets(
        [pod("web-1-a", containers=[{"name": "web"}], initContainers=[{"name": "meshproxy", "ports": ports}])]
    )
    app, sidecar = found
    assert (app["__address__"], app[f"{META}pod_container_init"]) == ("10.0.0.7", "false")
    assert sidecar == {
        "__address__": "10.0.0.7:15090",
        f"{META}namespace": "shop",
        f"{META}pod_name": "web-1-a",
        f"{META}pod_ip": "10.0.0.7",
        f"{META}pod_phase": "Running",
        f"{META}pod_ready": "true",
        f"{META}pod_node_name": "n",
        f"{META}pod_host_ip": "10.0.0.1",
        f"{META}pod_uid": "u",
        f"{META}pod_label_app_kubernetes_io_name": "web",
        f"{META}pod_labelpresent_app_kubernetes_io_name": "true",
        f"{META}pod_annotation_prometheus_io_port": "15020",
        f"{META}pod_annotationpresent_prometheus_io_port": "true",
        f"{META}pod_controller_kind": "ReplicaSet",
        f"{META}pod_controller_name": "web-1",
        f"{META}pod_container_name": "meshproxy",
        f"{META}pod_container_image": "",
        f"{META}pod_container_init": "true",
        f"{META}pod_container_port_name": "mesh-metrics",
        f"{META}pod_container_port_number": "15090",
        f"{META}pod_container_port_protocol": "TCP",
    }
    assert target_groups([{"__address__": "a:1", "x": "y"}]) == [{"targets": ["a:1"], "labels": {"x": "y"}}]


def test_a_pod_without_an_address_is_no_target():
    waiting = pod("web", containers=[{"name": "web"}])
    waiting["status"] = {"phase": "Pending"}
    assert pod_targets([waiting]) == []


def test_each_address_and_port_of_a_slice_is_a_target():
    labels = {"kubernetes.io/service-name": "control-plane"}
    endpoint = {"addresses": ["fd00::2"], "conditions": {"ready": True}}
    slices = [
        {
            "metadata": {"name": "s", "namespace": "meshproxy-system", "labels": labels},
            "addressType": "IPv6",
            "ports": [{"name": "http-metrics", "port": 15014, "protocol": "TCP"}],
            "endpoints": [endpoint],
        }
    ]
    service = {"metadata": {"name": "control-plane", "namespace": "meshproxy-system"}}
    [found] = slice_targets(slices, [service])
    assert found["__address__"] == "[fd00::2]:15014"
    assert found[f"{META}service_name"] == "control-plane"
    assert found[f"{META}endpointslice_port_name"] == "http-metrics"
    assert found[f"{META}endpointslice_endpoint_conditions_ready"] == "true"
    [orphan] = slice_targets(slices, [])
    assert f"{META}service_name" not in orphan


@needs_promtool
def test_the_configuration_of_a_lab_has_the_jobs_of_a_cluster(tmp_path: Path):
    cluster = (HERE / "prometheus.yml").read_text()
    text = lab_config(cluster, tmp_path, HERE / "rules.yml", "1s")
    config, before = yaml.safe_load(text), yaml.safe_load(cluster)
    assert [job["job_name"] for job in config["scrape_configs"]] == ["mesh-sidecars", "control-plane", "pods"]
    for job, original in zip(config["scrape_configs"], before["scrape_configs"], strict=True):
        assert job["relabel_configs"] == original["relabel_configs"]
        [files] = job["file_sd_configs"]
        [role] = original["kubernetes_sd_configs"]
        assert files["files"] == [str(tmp_path / f"{role['role']}.json")]
        Path(files["files"][0]).write_text("[]")
    path = tmp_path / "prometheus.yml"
    path.write_text(text)
    promtool("check", "config", str(path))


def test_every_alert_is_tested_to_fire_and_to_clear():
    rules = yaml.safe_load((HERE / "rules.yml").read_text())
    tests = yaml.safe_load((HERE / "rules_test.yml").read_text())["tests"]
    outcomes: dict[str, list[bool]] = defaultdict(list)
    for case in tests:
        for check in sorted(case.get("alert_rule_test", []), key=lambda check: int(check["eval_time"][:-1])):
            outcomes[check["alertname"]].append(bool(check.get("exp_alerts")))
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    assert outcomes.keys() == alerts
    for seen in outcomes.values():
        assert (seen[0], True in seen, seen[-1]) == (False, True, False)
    recorded = {rule["record"] for group in rules["groups"] for rule in group["rules"] if "record" in rule}
    asked = " ".join(check["expr"] for case in tests for check in case.get("promql_expr_test", []))
    assert {name for name in recorded if name not in asked} == set()


@needs_promtool
def test_alerts_fire_and_clear():
    promtool("check", "rules", str(HERE / "rules.yml"))
    promtool("test", "rules", str(HERE / "rules_test.yml"))


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
