"""kubectl writes: apply in both ways, patches of every type, label, annotate, edit, scale, delete."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control_plane.kubeconfig import write_kubeconfig
from tests.unit.control_plane.apiserver.serving import serving

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: app
        image: web:1
        command: [serve]
        env: [{name: A, value: "1"}, {name: B, value: "2"}]
        ports: [{containerPort: 80}]
      - name: side
        image: side:1
        command: [serve]
"""


class Shop:
    """A namespace `default` and a kubectl, with a file to apply."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "web.yaml"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "KUBECONFIG": str(directory / "kubeconfig"),
        }

    async def run(self, *arguments: str, code: int = 0) -> str:
        """Its output; the command must end with `code`."""
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            *arguments,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await process.communicate())[0].decode()
        assert process.returncode == code, f"kubectl {' '.join(arguments)}: {process.returncode}\n{output}"
        return output

    async def on_file(self, text: str, *arguments: str, code: int = 0) -> str:
        """`kubectl <arguments> -f` with the text."""
        self.file.write_text(text)
        return await self.run(*arguments, "-f", str(self.file), code=code)

    async def show(self, path: str, what: str = "deployment/web") -> str:
        """A JSONPath of an object."""
        return await self.run("get", *what.split("/"), "-o", f"jsonpath={{{path}}}")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with serving(tmp_path) as serve:
        write_kubeconfig(tmp_path / "kubeconfig", serve.config)
        yield Shop(tmp_path)


async def test_client_side_apply_merges_and_removes(shop: Shop) -> None:
    assert await shop.on_file(DEPLOYMENT, "apply") == "deployment.apps/web created\n"
    assert await shop.on_file(DEPLOYMENT, "apply") == "deployment.apps/web unchanged\n"
    await shop.run("set", "image", "deployment/web", "side=side:9")
    await shop.run("annotate", "deployment", "web", "team=shop")
    changed = DEPLOYMENT.replace("web:1", "web:2").replace('{name: A, value: "1"}, ', "")
    difference = await shop.on_file(changed, "diff", code=1)
    assert "-        image: web:1" in difference
    assert "+        image: web:2" in difference
    assert "team" not in "".join(line for line in difference.splitlines() if line[:1] in "+-")
    await shop.on_file(changed, "apply", "--dry-run=server")
    assert await shop.show(".spec.template.spec.containers[0].image") == "web:1"
    assert await shop.on_file(changed, "apply") == "deployment.apps/web configured\n"
    assert await shop.show(".spec.template.spec.containers[*].image") == "web:2 side:1"
    assert await shop.show(".spec.template.spec.containers[0].env[*].name") == "B"
    assert await shop.show(".metadata.annotations.team") == "shop"
    assert await shop.on_file(changed, "diff") == ""
    without_side = changed[: changed.index("      - name: side")]
    await shop.on_file(without_side, "apply")
    assert await shop.show(".spec.template.spec.containers[*].name") == "app"


async def test_server_side_apply_owns_and_conflicts(shop: Shop) -> None:
    applied = "deployment.apps/web serverside-applied\n"
    assert await shop.on_file(DEPLOYMENT, "apply", "--server-side") == applied
    managers = json.loads(await shop.show(".metadata.managedFields"))
    assert [(one["manager"], one["operation"]) for one in managers] == [("kubectl", "Apply")]
    await shop.run("scale", "deployment", "web", "--replicas=5")
    changed = DEPLOYMENT.replace("replicas: 2", "replicas: 3").replace("side:1", "side:2")
    refusal = await shop.on_file(changed, "apply", "--server-side", code=1)
    assert "Apply failed with 1 conflict: conflict with" in refusal
    assert '"kubectl" with subresource "scale" using apps/v1' in refusal
    assert ".spec.replicas" in refusal
    assert await shop.show(".spec.replicas") == "5"
    difference = await shop.on_file(changed, "diff", "--server-side", "--force-conflicts", code=1)
    assert "+  replicas: 3" in difference
    assert await shop.on_file(changed, "apply", "--server-side", "--force-conflicts") == applied
    assert await shop.show(".spec.replicas") == "3"
    without_replicas = changed.replace("  replicas: 3\n", "").replace("{containerPort: 80}", "")
    await shop.on_file(without_replicas, "apply", "--server-side")
    assert await shop.show(".spec.replicas") == "1"  # nobody says anything: the default
    assert await shop.show(".spec.template.spec.containers[0].ports") == ""
    assert await shop.show(".spec.template.spec.containers[*].image") == "web:1 side:2"
    other = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {owner: other}}\n"
    await shop.on_file(other, "apply", "--server-side", "--field-manager=other", "--validate=false")
    assert await shop.show(".metadata.labels") == '{"app":"web","owner":"other"}'


async def test_client_side_apply_migrates_to_server_side(shop: Shop) -> None:
    await shop.on_file(DEPLOYMENT, "apply")
    changed = DEPLOYMENT.replace("web:1", "web:2").replace(', {name: B, value: "2"}', "")
    await shop.on_file(changed, "apply", "--server-side")
    assert await shop.show(".spec.template.spec.containers[0].image") == "web:2"
    assert await shop.show(".spec.template.spec.containers[0].env[*].name") == "A"
    managers = json.loads(await shop.show(".metadata.managedFields"))
    # kubectl itself makes the second, for the annotation it keeps in step.
    assert {one["manager"] for one in managers} == {"kubectl", "kubectl-last-applied"}
    assert await shop.on_file(changed, "diff") == ""  # and back again


async def test_patches_of_every_type(shop: Shop) -> None:
    await shop.on_file(DEPLOYMENT, "create")
    image = "containers: [{name: side, image: 'side:2'}, {name: more, image: 'more:1'}]"
    await shop.run("patch", "deployment", "web", "-p", f"spec: {{template: {{spec: {{{image}}}}}}}")
    assert await shop.show(".spec.template.spec.containers[*].image") == "web:1 side:2 more:1"
    removal = 'spec: {template: {spec: {containers: [{name: more, "$patch": delete}]}}}'
    await shop.run("patch", "deployment", "web", "-p", removal)
    assert await shop.show(".spec.template.spec.containers[*].name") == "app side"
    operations = '[{"op": "replace", "path": "/spec/replicas", "value": 4}]'
    await shop.run("patch", "deployment", "web", "--type=json", "-p", operations)
    assert await shop.show(".spec.replicas") == "4"
    failing = '[{"op": "test", "path": "/spec/replicas", "value": 1}]'
    refusal = await shop.run("patch", "deployment", "web", "--type=json", "-p", failing, code=1)
    assert "the server rejected our request due to an error in our request" in refusal
    await shop.run(
        "patch", "deployment", "web", "--type=merge", "-p", '{"metadata": {"labels": {"app": null}}}'
    )
    assert await shop.show(".metadata.labels") == ""
    refusal = await shop.run("patch", "deployment", "web", "-p", '{"spec": {"bogus": 1}}', code=1)
    assert "spec.bogus" in refusal


async def test_custom_resources_have_no_strategic_merge(shop: Shop) -> None:
    route = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: split}
spec:
  parentRefs: [{group: "", kind: Service, name: catalog, port: 8080}]
  rules: [{backendRefs: [{name: catalog, port: 8080, weight: 90}]}]
"""
    assert await shop.on_file(route, "apply") == "httproute.gateway.networking.k8s.io/split created\n"
    await shop.on_file(route.replace("90", "10"), "apply")
    assert await shop.show(".spec.rules[0].backendRefs[*].weight", "httproute/split") == "10"
    refusal = await shop.run("patch", "httproute", "split", "--type=strategic", "-p", "{}", code=1)
    assert "application/merge-patch+json" in refusal
    await shop.on_file(route.replace("90", "30"), "apply", "--server-side", "--force-conflicts")
    assert await shop.show(".spec.rules[0].backendRefs[*].weight", "httproute/split") == "30"


async def test_label_annotate_edit_replace(shop: Shop, tmp_path: Path) -> None:
    await shop.on_file(DEPLOYMENT, "create")
    assert await shop.run("label", "deployment", "web", "tier=front") == "deployment.apps/web labeled\n"
    refusal = await shop.run("label", "deployment", "web", "tier=back", code=1)
    assert "already has a value" in refusal
    await shop.run("label", "deployment", "web", "tier=back", "--overwrite")
    await shop.run("label", "deployment", "web", "app-")
    assert await shop.show(".metadata.labels") == '{"tier":"back"}'
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i s/replicas:\\ 2/replicas:\\ 7/ $1\n")
    editor.chmod(0o700)
    shop.environment["KUBE_EDITOR"] = str(editor)
    assert await shop.run("edit", "deployment", "web") == "deployment.apps/web edited\n"
    assert await shop.show(".spec.replicas") == "7"
    uid = await shop.show(".metadata.uid")
    await shop.on_file(DEPLOYMENT, "replace")
    assert (await shop.show(".spec.replicas"), await shop.show(".metadata.uid")) == ("2", uid)
    await shop.on_file(DEPLOYMENT, "replace", "--force")
    assert await shop.show(".metadata.uid") != uid


async def test_scale_and_delete(shop: Shop) -> None:
    await shop.on_file(DEPLOYMENT, "create")
    assert await shop.run("scale", "deployment/web", "--replicas=3") == "deployment.apps/web scaled\n"
    refusal = await shop.run("scale", "deployment/web", "--replicas=1", "--current-replicas=2", code=1)
    assert "Expected replicas to be 2, was 3" in refusal
    assert await shop.show(".spec.replicas") == "3"
    generation = await shop.show(".metadata.generation")
    assert generation == "2"
    for name in ("one", "two"):
        text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n"
        await shop.on_file(text, "create")
    assert (
        await shop.run("delete", "configmap", "--all") == 'configmap "one" deleted\nconfigmap "two" deleted\n'
    )
    assert await shop.run("get", "configmap", "-o", "name") == ""
    await shop.run("delete", "deployment", "web", "--cascade=background")
    await shop.on_file("apiVersion: v1\nkind: Namespace\nmetadata: {name: gone}\n", "create")
    assert await shop.run("delete", "namespace", "gone") == 'namespace "gone" deleted\n'


async def test_create_from_the_command_line(shop: Shop) -> None:
    """Which kubectl sends as protobuf."""
    created = {
        "namespace n1": "namespace/n1 created",
        "configmap c1 --from-literal=a=1": "configmap/c1 created",
        "secret generic s1 --from-literal=a=1": "secret/s1 created",
        "serviceaccount sa1": "serviceaccount/sa1 created",
        "deployment d1 --image=x --replicas=3 --port=80 -- run me": "deployment.apps/d1 created",
        "service clusterip v1 --tcp=80:8080": "service/v1 created",
        "job j1 --image=x -- run": "job.batch/j1 created",
        "ingress i1 --rule=shop.io/=v1:80": "ingress.networking.k8s.io/i1 created",
    }
    for arguments, told in created.items():
        assert await shop.run("create", *arguments.split()) == f"{told}\n"
    assert await shop.show(".data.a", "configmap/c1") == "1"
    assert await shop.show(".data.a", "secret/s1") == "MQ=="
    container = ".spec.template.spec.containers[0]"
    assert await shop.show(f"{container}.command", "deployment/d1") == '["run","me"]'
    assert await shop.show(f"{container}.ports[0].containerPort", "deployment/d1") == "80"
    assert await shop.show(".spec.replicas", "deployment/d1") == "3"
    assert await shop.show(".spec.ports[0].targetPort", "service/v1") == "8080"


async def test_a_list_is_applied_and_what_get_prints_too(shop: Shop) -> None:
    one = "{apiVersion: v1, kind: ConfigMap, metadata: {name: NAME}, data: {a: b}}"
    items = "".join(f"- {one.replace('NAME', name)}\n" for name in ("one", "two"))
    text = f"apiVersion: v1\nkind: List\nitems:\n{items}"
    assert await shop.on_file(text, "apply") == "configmap/one created\nconfigmap/two created\n"
    printed = await shop.run("get", "configmaps", "one", "two", "-o", "yaml")
    assert "kind: List" in printed
    assert "configmap/two" in await shop.on_file(printed, "apply")
    assert "configmap/two serverside-applied" in await shop.on_file(
        text, "apply", "--server-side", "--force-conflicts"
    )


UNKNOWN = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec: {hosts: [web]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: known}
"""


@pytest.mark.parametrize(
    "way", [("apply",), ("apply", "--server-side"), ("create",), ("create", "--validate=strict")]
)
async def test_a_kind_that_is_not_served_is_named_and_the_others_are_written(
    shop: Shop, way: tuple[str, ...]
) -> None:
    output = await shop.on_file(UNKNOWN, *way, code=1)
    assert 'no matches for kind "HorizontalPodAutoscaler" in version "autoscaling/v2"' in output
    assert 'no matches for kind "VirtualService" in version "networking.istio.io/v1"' in output
    assert await shop.show(".metadata.name", "configmap/known") == "known"


async def test_what_is_too_big_for_a_cluster_is_refused(shop: Shop) -> None:
    config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: big}\ndata: {a: TEXT}\n"
    assert "data: Too long" in await shop.on_file(
        config_map.replace("TEXT", "x" * 1_100_000), "create", code=1
    )
    middle = config_map.replace("TEXT", "x" * 400_000)
    # Client-side apply keeps a copy in an annotation, which has a limit of its own.
    assert "metadata.annotations: Too long" in await shop.on_file(middle, "apply", code=1)
    assert await shop.on_file(middle, "apply", "--server-side") == "configmap/big serverside-applied\n"


async def test_who_runs_an_image_is_told_that_it_will_not_start(shop: Shop) -> None:
    told = await shop.run("create", "deployment", "hello", "--image=nginx")
    assert "Warning: container 'nginx' will not start: a lab does not run images" in told


async def test_a_refused_secret_is_not_shown(shop: Shop) -> None:
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nSECTION: {password: hunter2!}\n"
    output = await shop.on_file(secret.replace("SECTION", "data"), "create", code=1)
    assert "data.password: must be base64" in output
    assert "hunter2" not in output
