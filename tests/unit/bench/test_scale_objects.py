"""The big cluster: accepted by the API's own models, and as big as it says."""

from collections import Counter

import pytest

from bench.scale.figure import Figures
from bench.scale.objects import SLICE_LIMIT, Size, namespaces, objects
from control_plane.resources.manifest import kind_of, section
from control_plane.resources.manifest import objects as elements
from control_plane.resources.registry import BY_KIND


@pytest.mark.parametrize("size", [Size(), Size(40, 400), Size(3, 30)])
def test_endpoints_add_up(size: Size):
    assert sum(map(size.endpoints_of, range(size.services))) == size.endpoints


def test_what_there_is():
    kinds = Counter(map(kind_of, objects(Size(40, 400))))
    assert kinds == {"Service": 40, "Pod": 400, "EndpointSlice": 41, "HTTPRoute": 4}
    slices = [one for one in objects(Size(40, 400)) if kind_of(one) == "EndpointSlice"]
    assert max(len(elements(one, "endpoints")) for one in slices) == SLICE_LIMIT
    pods = [one for one in objects(Size(40, 400)) if kind_of(one) == "Pod"]
    assert len({section(one, "status")["podIP"] for one in pods}) == 400


def test_the_api_accepts_each():
    for manifest in (*namespaces(Size(20, 100)), *objects(Size(20, 100))):
        BY_KIND[kind_of(manifest)].model.parse(manifest)


def test_figures(capsys: pytest.CaptureFixture[str]):
    figures = Figures()
    figures.add("a list", cpu_ms=1234.5, size_mb=7)
    assert capsys.readouterr().out == "| a list | 1,234.5 |  |  |  |  | 7.0 |\n"
    assert figures.markdown().splitlines()[0].startswith("| what | cpu ms | wall ms |")
    with pytest.raises(ValueError, match="seconds: columns are"):
        figures.add("a list", seconds=1)
