"""`meshctl apply`, `get`, `delete`, `proxy-status` and `envoy-bootstrap` against a real control plane."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from meshctl.__main__ import main
from tests.contract.control_plane_process import ControlPlaneProcess

MANIFESTS = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop, labels: {tier: back}}
spec:
  ports: [{name: http, port: 8080}]
  selector: {app: catalog}
"""


class Cli:
    """The command line with a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        self._environment = {"MESHPROXY_KUBECONFIG": str(kubeconfig)}

    def run(self, *arguments: str, stdin: str = "") -> Result:
        result = CliRunner().invoke(main, arguments, input=stdin, env=self._environment)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        return result

    def output(self, *arguments: str, stdin: str = "") -> str:
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.output


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlaneProcess]:
    process = ControlPlaneProcess(tmp_path_factory.mktemp("meshctl") / "data")
    process.ready()
    yield process
    process.stop()


@pytest.fixture
def cli(control_plane: ControlPlaneProcess) -> Iterator[Cli]:
    found = Cli(control_plane.data_dir / "kubeconfig")
    yield found
    found.run("delete", "--ignore-not-found", "-f", "-", stdin=MANIFESTS)


def test_apply_says_what_became_of_each_object(cli: Cli):
    assert cli.output("apply", "--dry-run", "-f", "-", stdin=MANIFESTS.split("---")[0]) == (
        "Namespace shop created (dry run)\n"
    )
    created = cli.output("apply", "-f", "-", stdin=MANIFESTS)
    assert created == "Namespace shop created\nService shop/catalog created\n"
    assert "Service shop/catalog unchanged" in cli.output("apply", "-f", "-", stdin=MANIFESTS)
    changed = MANIFESTS.replace("back", "front")
    assert "Service shop/catalog configured" in cli.output("apply", "-f", "-", stdin=changed)


def test_get_shows_tables_documents_and_names(cli: Cli):
    cli.output("apply", "-f", "-", stdin=MANIFESTS)
    lines = cli.output("get", "svc", "-n", "shop").splitlines()
    assert lines[0].split() == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
    assert lines[1].startswith("catalog   ClusterIP   10.96.")
    assert cli.output("get", "services", "-A", "-l", "tier=back", "-o", "name") == "service/catalog\n"
    single = yaml.safe_load(cli.output("get", "service", "catalog", "-n", "shop", "-o", "yaml"))
    assert single["spec"]["ports"][0]["port"] == 8080
    listed = cli.output("get", "service", "-n", "shop", "-o", "json")
    assert [item["metadata"]["name"] for item in json.loads(listed)["items"]] == ["catalog"]
    assert cli.output("apply", "-f", "-", stdin=listed) == "Service shop/catalog unchanged\n"
    assert "no pods found in namespace shop" in cli.output("get", "pods", "-n", "shop")


def test_delete_by_name_and_by_file(cli: Cli):
    cli.output("apply", "-f", "-", stdin=MANIFESTS)
    assert cli.output("delete", "svc", "catalog", "-n", "shop") == "Service shop/catalog deleted\n"
    missing = cli.run("delete", "svc", "catalog", "-n", "shop")
    assert (missing.exit_code, "not found" in missing.output) == (1, True)
    assert (
        cli.output("delete", "--ignore-not-found", "-f", "-", stdin=MANIFESTS) == "Namespace shop deleted\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["get", "gadgets"], "no kind 'gadgets'; there are namespaces,"),
        (["get", "pod", "a", "-A"], "a NAME goes with neither -A nor -l"),
        (["delete", "pod"], "say either KIND and NAME, or -f"),
    ],
)
def test_wrong_usage_is_said(cli: Cli, arguments: list[str], said: str):
    result = cli.run(*arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_a_refused_manifest_names_place_and_field(cli: Cli):
    wrong = MANIFESTS.replace("selector", "selektor")
    result = cli.run("apply", "-f", "-", stdin=wrong)
    assert result.exit_code == 1
    assert "standard input, document 2" in result.output
    assert "spec.selektor: unknown field" in result.output
    assert "no namespaces" not in cli.run("get", "ns").output


def test_proxy_status_without_sidecars(cli: Cli):
    assert "no sidecar is connected" in cli.output("proxy-status")


def test_envoy_bootstrap_explains_what_is_missing(cli: Cli, tmp_path: Path):
    cli.output("apply", "-f", "-", stdin=MANIFESTS)
    result = cli.run("envoy-bootstrap", "web", "-n", "shop", "--out-dir", str(tmp_path))
    assert (result.exit_code, result.output) == (1, 'Error: pods "web" not found\n')
