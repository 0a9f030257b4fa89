"""What people and programs read."""

import json

from meshctl.diagnose.finding import Layer
from meshctl.diagnose.report import document, text_lines
from meshctl.diagnose.walk import walk
from tests.unit.meshctl.diagnose.test_broken import BROKEN, STUCK, only
from tests.unit.meshctl.diagnose.test_healthy import HEALTHY
from tests.unit.meshctl.diagnose.world import facts


def test_a_fault_comes_with_evidence_and_mend() -> None:
    broken, *_ = BROKEN["a selector is misspelt"]
    lines = text_lines(broken.question, walk(broken))
    assert lines[0] == "web -> catalog:8080"
    assert next(line for line in lines if line.startswith("  endpoints ")).split() == [
        "endpoints", "FAULT", "see", "below",
    ]  # fmt: skip
    tail = lines[lines.index("") + 1 :]
    assert tail == [
        "endpoints: Service shop/catalog selects app=catalgo, which no pod in shop carries",
        "  pod catalog-1 carries app=catalog",
        "mend: kubectl patch service catalog --type=json -p"
        ' \'[{"op": "replace", "path": "/spec/selector", "value": {"app": "catalog"}}]\' -n shop',
    ]


def test_advice_stands_below_the_mend() -> None:
    stuck = facts(**only(STUCK))
    lines = text_lines(stuck.question, walk(stuck))
    assert lines[-1].startswith("      (it must reach the control plane")
    assert any("not looked at: it rests on what fails" in line for line in lines)


def test_no_fault_says_what_was_not_seen_and_what_is_worth_knowing() -> None:
    healthy = facts()
    assert text_lines(healthy.question, walk(healthy))[-1] == "No fault found."
    blind = HEALTHY["nobody can look into pods"]
    assert "Not looked at, so not judged: listening, DNS" in "\n".join(
        text_lines(blind.question, walk(blind))
    )
    odd = HEALTHY["one of two pods crashes"]
    assert "  worth knowing: one of several:" in "\n".join(text_lines(odd.question, walk(odd)))


def test_json_has_every_layer_and_the_cause() -> None:
    broken, layer, what, mend = BROKEN["errors on purpose"]
    found = json.loads(json.dumps(document(broken.question, walk(broken))))
    assert found["healthy"] is False
    assert found["cause"] == found["layers"][-1]
    assert (found["cause"]["layer"], found["cause"]["mend"]) == (layer.value, mend)
    assert what in found["cause"]["what"]
    well = document(facts().question, walk(facts()))
    assert (well["healthy"], well["cause"]) == (True, None)
    assert isinstance(well["layers"], list)
    assert len(well["layers"]) == len(Layer)
