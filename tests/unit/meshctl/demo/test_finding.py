"""A claim holds when everything that was expected of it held."""

from meshctl.demo.finding import Evidence, Finding


def test_a_claim_holds_with_notes_and_expectations_that_held():
    evidence = Evidence("claim")
    evidence.note("just so")
    evidence.expect(True, "1 of 1")
    assert evidence.finding() == Finding("claim", ("just so", "1 of 1"), True)


def test_one_expectation_that_did_not_hold_decides_and_is_marked():
    evidence = Evidence("claim")
    evidence.expect(False, "0 of 1")
    evidence.expect(True, "1 of 1")
    assert evidence.finding() == Finding("claim", ("NOT HELD: 0 of 1", "1 of 1"), False)
