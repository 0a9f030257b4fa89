"""`meshctl inject` and `uninject`: the same as the webhook's, whole documents in and out."""

import base64
import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from control_plane.apiserver.json_patch import apply_patch
from injector.template import InjectorSettings
from injector.webhook import respond
from meshctl.injection import inject, uninject

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, annotations: {built: 2024-01-01}}
spec:
  containers:
  - {name: app, image: "app:1", ports: [{containerPort: 8080}], livenessProbe: {httpGet: {port: 8080}}}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: "app:1"}]}
"""
OTHER = "apiVersion: example.org/v1\nkind: Unknown\nmetadata: {name: x}\n"


def run(command: object, text: str, *flags: str) -> Result:
    return CliRunner().invoke(command, ["-f", "-", *flags], input=text)  # type: ignore[arg-type]


def documents(result: Result) -> list[dict[str, object]]:
    assert result.exit_code == 0, result.output
    return list(yaml.safe_load_all(result.stdout))


def sidecars(document: dict[str, object]) -> list[str]:
    spec = document["spec"]
    spec = spec["template"]["spec"] if "template" in spec else spec  # type: ignore[index, operator]
    return [container["name"] for container in spec.get("initContainers", [])]  # type: ignore[attr-defined]


def test_the_patch_is_the_webhooks():
    pod = yaml.load(POD, yaml.BaseLoader)
    pod["spec"]["containers"][0]["ports"][0]["containerPort"] = 8080
    pod["spec"]["containers"][0]["livenessProbe"]["httpGet"]["port"] = 8080
    request = {
        "uid": "u",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": "CREATE",
        "object": pod,
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    answer = respond(review, in_enabled_namespace=True, settings=InjectorSettings())
    online = json.loads(base64.b64decode(answer["response"]["patch"]))  # type: ignore[index]
    offline = json.loads(run(inject, POD, "-o", "patch").stdout)
    assert offline == online
    assert documents(run(inject, POD)) == [apply_patch(pod, online)]


def test_templates_are_injected_and_what_holds_no_pods_passes():
    injected = documents(run(inject, f"{OTHER}---\n{DEPLOYMENT}---\n"))
    assert [document["kind"] for document in injected] == ["Unknown", "Deployment"]
    assert sidecars(injected[1]) == ["meshproxy-init", "meshproxy"]


@pytest.mark.parametrize("manifest", [POD, DEPLOYMENT])
def test_twice_is_once_and_uninject_takes_it_back(manifest):
    once = run(inject, manifest)
    assert documents(run(inject, once.stdout)) == documents(once)
    assert documents(run(uninject, once.stdout)) == documents(run(uninject, manifest))
    assert run(uninject, manifest, "-o", "patch").stdout == ""


def test_a_namespace_among_the_manifests_counts_as_it_is_labelled():
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n"
    result = run(inject, namespace + POD)
    assert sidecars(documents(result)[1]) == []
    assert "shop/web: no sidecar: neither pod nor namespace ask for it" in result.stderr


def test_warnings_go_to_stderr():
    text = POD.replace("{built: 2024-01-01}", '{meshproxy.io/excludeOutboundPort: "1"}')
    result = run(inject, text)
    assert "shop/web: warning: annotation meshproxy.io/excludeOutboundPort" in result.stderr
    assert sidecars(documents(result)[0])


def test_json_comes_out_as_json():
    assert json.loads(run(inject, POD, "-o", "json").stdout)["kind"] == "Pod"


def test_settings_reach_the_sidecar():
    assert "registry/meshproxy:7" in run(inject, POD, "--image", "registry/meshproxy:7").stdout


def test_files_and_directories_are_read(tmp_path: Path):
    (tmp_path / "b.yaml").write_text(DEPLOYMENT)
    (tmp_path / "a.yaml").write_text(POD)
    (tmp_path / "notes.txt").write_text("not: one\n")
    result = CliRunner().invoke(inject, ["-f", str(tmp_path)])
    assert [document["kind"] for document in documents(result)] == ["Pod", "Deployment"]
    result = CliRunner().invoke(inject, ["-f", str(tmp_path / "b.yaml")])
    assert len(documents(result)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "standard input: not YAML"),
        ("- a", "standard input, document 1: must be an object with a kind"),
        (
            POD.replace("annotations: {", 'annotations: {meshproxy.io/inject: "yes", '),
            'use "true" or "false"',
        ),
    ],
)
def test_what_cannot_be_injected_is_refused_and_nothing_written(text, message):
    result = run(inject, text)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stdout == ""


def test_a_file_that_is_no_text_is_named(tmp_path: Path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    result = CliRunner().invoke(inject, ["-f", str(tmp_path)])
    assert (result.exit_code, "a.yaml" in result.stderr) == (1, True)
