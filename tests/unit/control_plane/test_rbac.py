"""deploy/rbac: the control plane may do all it does, and only that."""

from pathlib import Path

import pytest
import yaml

from control_plane.index import WATCHED_KINDS
from control_plane.refusal import KINDS as REFUSABLE
from control_plane.resources.manifest import Manifest, objects
from control_plane.resources.registry import BY_KIND
from control_plane.root_bundle import CONFIG_MAP
from control_plane.status import WRITERS
from injector.registration import NAME

FOLDER = Path(__file__).parents[3] / "deploy" / "rbac"
Right = tuple[str, str, str, str]
"""(group, resource, verb, name or empty)."""


def rights(file: str) -> set[Right]:
    documents: list[Manifest] = list(yaml.safe_load_all((FOLDER / file).read_text()))
    rules = [rule for document in documents for rule in objects(document, "rules")]
    found = set()
    for rule in rules:
        for group in _texts(rule, "apiGroups"):
            for resource in _texts(rule, "resources"):
                for verb in _texts(rule, "verbs"):
                    found |= {(group, resource, verb, name) for name in _texts(rule, "resourceNames") or [""]}
    return found


def _texts(rule: Manifest, field: str) -> list[str]:
    value = rule.get(field)
    return [str(one) for one in value] if isinstance(value, list) else []


def test_the_control_plane_may_do_what_it_does_and_no_more() -> None:
    watched = [BY_KIND[kind] for kind in WATCHED_KINDS]
    told = [BY_KIND[kind] for kind in {*WRITERS, *REFUSABLE}]
    wanted = {(one.group, one.plural, verb, "") for one in watched for verb in ("get", "list", "watch")}
    wanted |= {(one.group, f"{one.plural}/status", "update", "") for one in told}
    wanted |= {("", "serviceaccounts", "get", ""), ("authentication.k8s.io", "tokenreviews", "create", "")}
    wanted |= {("", "configmaps", "create", ""), ("", "configmaps", "update", CONFIG_MAP)}
    assert rights("control-plane.yaml") == wanted


def test_the_injector_changes_its_own_registration_only() -> None:
    changing = {right for right in rights("injector.yaml") if right[2] not in ("get", "list", "watch")}
    webhooks = ("admissionregistration.k8s.io", "mutatingwebhookconfigurations")
    assert changing == {(*webhooks, "update", NAME), (*webhooks, "create", "")}


@pytest.mark.parametrize("file", ["control-plane.yaml", "injector.yaml"])
def test_nobody_may_do_everything(file: str) -> None:
    assert not [right for right in rights(file) if "*" in right]
