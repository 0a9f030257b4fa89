"""What follows from ledgers, and that every panel has an expectation."""

from deploy.grafana.build import DASHBOARDS
from meshctl.demo.ledger import Ledger, Record
from tests.dashboards.expectations import expectations
from tests.dashboards.measure import labels
from tests.dashboards.truth import (
    Connection,
    SidecarFacts,
    Truth,
    add_fickle_ledger,
    add_ledgers,
    add_lost_ledger,
)


def ledger(run: str, *kinds: int, status: int = 200) -> Ledger:
    records = [Record(number, kind, 10.0, 5.0, status, "v1", "") for number, kind in enumerate(kinds)]
    return Ledger(run, tuple(records))


def whole_truth() -> Truth:
    truth = Truth(0.0, 20.0)
    add_ledgers(truth, ledger("a", 0, 1), ledger("b", 0), ledger("c", 0, 6), "note")
    add_fickle_ledger(truth, [[10.0, "/echo", 200], [10.0, "/down", 503]])
    add_lost_ledger(truth, ledger("g", 0, status=503))
    truth.forged = [(10.0, "UNAUTHENTICATED: malformed")]
    truth.connections = [Connection(9.0, 10.0, 2000, 2058)]
    truth.changes = [1.0, 4.0]
    truth.sidecars = [SidecarFacts("load-1", 1e6, 0.1, 86400.0)]
    truth.slowest_change = 0.2
    return truth


def test_every_panel_and_every_query_has_an_expectation():
    found = expectations(whole_truth())
    for dashboard in DASHBOARDS:
        assert found[dashboard.uid].keys() == {panel.title for panel in dashboard.panels}
        for panel in dashboard.panels:
            assert len(found[dashboard.uid][panel.title].expected) == len(panel.queries)


def test_a_request_for_the_page_is_seen_by_three_services():
    made = [(call.source, call.service) for call in whole_truth().made]
    assert made == [
        ("load", "catalog-v1"),
        ("load", "catalog-v1"),
        ("load", "web"),
        ("web", "catalog-v1"),
        ("catalog-v1", "inventory"),
        ("load", "fickle"),
        ("load", "fickle"),
        ("greeter", "nowhere"),
    ]


def test_rates_count_what_was_answered_in_the_window():
    truth = whole_truth()
    truth.until = 10.0
    assert truth.rates(truth.made) == {frozenset(): truth.rate(0)}
    truth.until = 20.0
    assert truth.rates(truth.made, lambda call: labels(source=call.source)) == {
        labels(source="load"): truth.rate(5),
        labels(source="web"): truth.rate(1),
        labels(source="catalog-v1"): truth.rate(1),
        labels(source="greeter"): truth.rate(1),
    }


def test_success_is_exact_when_nothing_failed():
    truth = Truth(0.0, 20.0)
    add_ledgers(truth, ledger("a", 0, 1), ledger("b", 0), ledger("c", 0, 6), "note")
    [share] = truth.success(truth.made).values()
    assert share.agrees(1.0)
    assert not share.agrees(0.99)
    add_ledgers(truth, ledger("d", 0, status=503), ledger("e"), ledger("f"), "")
    [share] = truth.success(truth.made).values()
    assert share.agrees(7 / 8)
