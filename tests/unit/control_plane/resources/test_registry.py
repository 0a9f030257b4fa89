"""The kinds served, their names and paths."""

import pytest

from control_plane.resources.registry import BY_KIND, KINDS, kind_named, parse
from tests.unit.control_plane.resources.refusal import causes


def test_names_are_unique() -> None:
    names = [name for entry in KINDS for name in (entry.kind, entry.plural, *entry.short_names)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("kind", "arguments", "path"),
    [
        ("Pod", (), "/api/v1/pods"),
        ("Pod", ("shop",), "/api/v1/namespaces/shop/pods"),
        ("Pod", ("shop", "a", "status"), "/api/v1/namespaces/shop/pods/a/status"),
        ("Namespace", ("", "shop"), "/api/v1/namespaces/shop"),
        ("Namespace", ("ignored", "shop"), "/api/v1/namespaces/shop"),
        ("HTTPRoute", ("shop", "a"), "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/a"),
    ],
)
def test_paths(kind: str, arguments: tuple[str, ...], path: str) -> None:
    assert BY_KIND[kind].path(*arguments) == path


@pytest.mark.parametrize("word", ["Deployment", "deployments", "deploy", "DEPLOYMENT", "deployments.apps"])
def test_words_for_a_kind(word: str) -> None:
    assert kind_named(word) is BY_KIND["Deployment"]


def test_groups_and_versions() -> None:
    assert (BY_KIND["Pod"].group, BY_KIND["Pod"].version) == ("", "v1")
    assert (BY_KIND["Deployment"].group, BY_KIND["Deployment"].version) == ("apps", "v1")
    assert kind_named("widget") is None


def test_parse_goes_by_kind_and_checks_the_version() -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}}
    assert type(parse({**account})).KIND == "ServiceAccount"
    assert "unknown kind 'Widget'" in causes({**account, "kind": "Widget"})["kind"]
    assert causes({**account, "apiVersion": "v2"}).keys() == {"apiVersion"}
