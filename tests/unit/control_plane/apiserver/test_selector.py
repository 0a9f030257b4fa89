"""Label and field selectors."""

import pytest

from control_plane.apiserver.failure import Failure
from control_plane.apiserver.selector import parse_selection
from control_plane.resources.manifest import Manifest

POD: Manifest = {
    "metadata": {"name": "a", "namespace": "shop", "labels": {"app": "web", "tier": "", "a.b/c": "d"}},
    "spec": {"nodeName": "node-0"},
    "status": {"phase": "Running"},
}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("  ", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web , tier=", True),
        ("app=db", False),
        ("app!=db", True),
        ("absent!=db", True),
        ("app!=web", False),
        ("app in (db,web)", True),
        ("app in ( db )", False),
        ("app notin (db, cache)", True),
        ("absent notin (db)", True),
        ("absent in (db)", False),
        ("app notin (web),tier", False),
        ("app", True),
        ("tier", True),
        ("absent", False),
        ("!absent", True),
        ("!app", False),
        ("app in (db,web),a.b/c=d,!x", True),
    ],
)
def test_labels(selector: str, matches: bool) -> None:
    assert parse_selection(selector, "").matches(POD) is matches


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("metadata.name=a", True),
        ("metadata.name=a,metadata.namespace!=shop", False),
        ("spec.nodeName==node-0", True),
        ("status.phase!=Running", False),
        ("spec.restartPolicy=Always,spec.hostNetwork=false", True),
        (r"spec.nodeName=node\,0", False),
    ],
)
def test_fields(selector: str, matches: bool) -> None:
    assert parse_selection("", selector, "Pod").matches(POD) is matches


def test_absent_fields_are_empty() -> None:
    assert parse_selection("", "spec.nodeName=", "Pod").matches({"metadata": {}})


@pytest.mark.parametrize("selector", ["a=b=c", "a in b", "(a)", "a,,b", "a>1", "in (a)(b)"])
def test_labels_that_cannot_be_parsed(selector: str) -> None:
    with pytest.raises(Failure, match="labelSelector: cannot parse"):
        parse_selection(selector, "")


def test_fields_that_are_not_supported() -> None:
    with pytest.raises(Failure, match=r"field label not supported: spec\.x; supported are metadata\.name"):
        parse_selection("", "spec.x=1")
    with pytest.raises(Failure, match="field label not supported"):
        parse_selection("", "spec.nodeName=a", "Service")
    with pytest.raises(Failure, match="use field=value"):
        parse_selection("", "metadata.name")


def test_fields_of_an_event() -> None:
    event: Manifest = {"involvedObject": {"uid": "u", "fieldPath": "spec.containers{app}"}, "type": "Warning"}
    for selector in ("involvedObject.uid=u,type=Warning", "involvedObject.fieldPath=spec.containers{app}"):
        assert parse_selection("", selector, "Event").matches(event)
