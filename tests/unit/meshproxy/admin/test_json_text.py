"""Configuration objects as JSON."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import pytest

from meshproxy.admin.json_text import LazyObject, json_slices
from meshproxy.config.model import Cluster, ClusterType, Endpoint
from meshproxy.config.retry import RetrySettings
from meshproxy.config.route_match import PathMatch, PathMatchKind


def _parsed(value: object) -> object:
    return json.loads("".join(json_slices(value)))


def test_configuration_objects_become_objects_of_their_fields() -> None:
    parsed = _parsed(
        MappingProxyType({"c": Cluster("c", ClusterType.EDS, endpoints=(Endpoint("10.0.0.1", 80),))})
    )
    assert isinstance(parsed, dict)
    assert (parsed["c"]["type"], parsed["c"]["endpoints"][0]["address"]) == ("eds", "10.0.0.1")
    assert parsed["c"]["service"] == {"host": "unknown", "name": "unknown", "namespace": "unknown"}


def test_enums_sets_and_bytes() -> None:
    parsed = _parsed(PathMatch(PathMatchKind.EXACT, "/"))
    assert parsed == {"kind": "path", "value": "/", "case_sensitive": True}
    parsed = _parsed(RetrySettings(frozenset({"reset", "connect-failure"})))
    assert isinstance(parsed, dict)
    assert parsed["retry_on"] == ["connect-failure", "reset"]
    assert _parsed([b"ok", b"\xff"]) == ["ok", "\\xff"]


@pytest.mark.parametrize("value", [object(), Cluster])
def test_what_has_no_json_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no JSON form"):
        list(json_slices(value))


def test_a_large_document_comes_in_slices_and_is_converted_as_it_goes() -> None:
    converted = 0

    @dataclass
    class Item:
        number: int

        def __post_init__(self) -> None:
            nonlocal converted
            converted += 1

    class Lazy(list[object]):
        def __iter__(self) -> Iterator[object]:
            return (Item(number) for number in range(5000))

    pieces = json_slices(Lazy([None]))
    next(pieces)
    assert 0 < converted < 1000
    list(pieces)
    assert converted == 5000


def test_the_document_ends_with_a_line_feed() -> None:
    assert "".join(json_slices({})) == "{}\n"


def test_a_lazy_object_is_made_when_the_writer_reaches_it_and_once() -> None:
    made = []

    def make(number: int) -> dict[str, object]:
        made.append(number)
        return {"number": number, "text": "x" * 10_000}

    lazy = [LazyObject(partial(make, number)) for number in range(3)]
    pieces = json_slices(lazy)
    first = next(pieces)
    assert made == [0]
    assert len(json.loads(first + "".join(pieces))) == 3
    assert made == [0, 1, 2]
    assert (lazy[1]["number"], len(lazy[1]), list(lazy[1])) == (1, 2, ["number", "text"])
