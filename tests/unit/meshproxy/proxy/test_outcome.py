import pytest

from meshproxy.proxy.outcome import RULES, Outcome, rule

FLAGS = {"NR", "NC", "UH", "UF", "UC", "UPE", "UO", "UT", "SI", "DC", "DT"}


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_status_and_one_of_envoys_flags(outcome):
    found = rule(outcome)
    assert found == RULES[outcome]
    assert found.flag in FLAGS
    assert 400 <= found.status < 600 or (found.status == 0 and outcome is Outcome.DOWNSTREAM_DISCONNECT)
