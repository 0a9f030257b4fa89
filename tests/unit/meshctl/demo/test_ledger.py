"""The ledger of a load: who answered, what failed, how long it took."""

import json

import pytest

from meshctl.demo.ledger import Ledger, Record, describe_failures, failures, percentile, share


def ledger(*records: tuple[object, ...]) -> Ledger:
    return Ledger.parse(json.dumps({"run": "r", "records": records}))


def answers(*latencies: float) -> list[Record]:
    return [Record(number, 0, 0.0, latency, 200, "v1", "") for number, latency in enumerate(latencies)]


def test_records_are_in_the_order_of_sending():
    read = ledger((1, 0, 2.0, 5.0, 200, "v1", ""), (0, 1, 1.0, 500.0, 201, "v2", ""))
    assert [record.number for record in read.records] == [0, 1]
    assert read.records[0].answered_at == 1.5
    assert read.order_id(read.records[0]) == "r-0"


def test_records_are_chosen_by_kind_and_by_time():
    read = ledger((0, 0, 1.0, 1.0, 200, "v1", ""), (1, 1, 2.0, 1.0, 200, "v1", ""))
    assert [record.number for record in read.of_kind(1)] == [1]
    assert [record.number for record in read.between(1.0, 2.0)] == [0]
    assert [record.number for record in read.between(1.5)] == [1]


def test_counts_are_by_status_and_version():
    read = ledger(
        (0, 0, 1.0, 1.0, 200, "v1", ""), (1, 0, 1.0, 1.0, 404, "v1", ""), (2, 0, 1.0, 1.0, 200, "v1", "")
    )
    assert read.by_status_and_version() == {("200", "v1"): 2, ("404", "v1"): 1}


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"run": "r"}', '{"run": "r", "records": [[1]]}'])
def test_what_is_not_a_ledger_is_refused(text: str):
    with pytest.raises(ValueError, match=r"ledger|Expecting"):
        Ledger.parse(text)


def test_a_failure_is_no_response_or_an_unexpected_status():
    lost = Record(0, 0, 0.0, 1.0, 0, "", "timeout")
    refused = Record(1, 0, 0.0, 1.0, 503, "", "")
    fine = Record(2, 0, 0.0, 1.0, 404, "v1", "")
    assert failures([lost, refused, fine], (200, 404)) == [lost, refused]
    assert failures([fine]) == [fine]
    assert describe_failures([]) == "0 failed"
    assert describe_failures([lost, refused, lost]) == "3 failed (2 x timeout, 1 x status 503)"


def test_share_is_percent_of_all():
    assert share([], "v1") == 0
    assert share([*answers(1.0, 1.0, 1.0), Record(3, 0, 0.0, 1.0, 200, "v2", "")], "v2") == 25


def test_percentiles_are_nearest_rank_of_what_was_answered():
    lost = Record(9, 0, 0.0, 99_999.0, 0, "", "timeout")
    records = [*answers(*map(float, range(1, 101))), lost]
    assert (percentile(records, 0.5), percentile(records, 0.99), percentile(records, 1.0)) == (50, 99, 100)
    assert percentile(records, 0.0) == 1
    assert percentile([lost], 0.5) == 0
