"""The 50 rules: valid, and the measured requests take one of the last."""

from __future__ import annotations

from typing import cast

import pytest

from bench import dataset, route_table
from bench.route_table import ROUTED_SHAPES, Rules
from bench.shape import SHAPES, Shape
from control_plane.resources.manifest import Manifest, kind_of
from control_plane.resources.registry import BY_KIND


def match_of(rule: Manifest) -> Manifest:
    return cast("list[Manifest]", rule["matches"])[0]


def rank(rule: Manifest) -> tuple[bool, int, bool, int]:
    """The Gateway API's precedence: what comes first is greater."""
    match = match_of(rule)
    path = cast("dict[str, str]", match["path"])
    headers = cast("list[Manifest]", match.get("headers", []))
    return path["type"] == "Exact", len(path["value"]), "method" in match, len(headers)


def takes(rule: Manifest, shape: Shape) -> bool:
    match = match_of(rule)
    path = cast("dict[str, str]", match["path"])
    wanted = {(one["name"], one["value"]) for one in cast("list[dict[str, str]]", match.get("headers", []))}
    is_there = (
        shape.path == path["value"] if path["type"] == "Exact" else shape.path.startswith(path["value"])
    )
    return is_there and match.get("method", shape.method) == shape.method and wanted <= set(shape.headers)


def test_there_are_fifty_in_the_order_in_which_they_are_tried():
    rules = route_table.rules()
    assert len(rules) == Rules.FIFTY.value
    assert [rank(rule) for rule in rules] == sorted(map(rank, rules), reverse=True)


@pytest.mark.parametrize("shape", ROUTED_SHAPES, ids=lambda shape: shape.key)
def test_a_measured_request_takes_the_last_but_one_which_edits_heads(shape):
    rules = route_table.rules()
    taken = next(number for number, rule in enumerate(rules) if takes(rule, shape))
    assert taken == 48
    filters = cast("list[Manifest]", rules[taken]["filters"])
    assert [one["type"] for one in filters] == ["RequestHeaderModifier", "ResponseHeaderModifier"]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.key)
def test_every_other_request_takes_the_last(shape):
    assert [number for number, rule in enumerate(route_table.rules()) if takes(rule, shape)] == [49]


def test_the_api_accepts_the_routes_and_every_rule_is_in_one():
    routes = [one for one in dataset.services(0, 1, 2, Rules.FIFTY) if kind_of(one) == "HTTPRoute"]
    assert len(routes) == 5
    for manifest in routes:
        BY_KIND["HTTPRoute"].model.model_validate(manifest)
    rules = [
        rule for one in routes for rule in cast("list[Manifest]", cast("Manifest", one["spec"])["rules"])
    ]
    assert [rule["matches"] for rule in rules] == [rule["matches"] for rule in route_table.rules()]
    assert all(len(cast("list[Manifest]", rule["backendRefs"])) == 2 for rule in rules)
