"""docs/traffic.md is what the cases say, and the cases say what is in their resources."""

import re

import pytest

from tests.parity import document, table
from tests.parity.case import Addresses, Case, manifests
from tests.parity.suite import ABSENT, CASES, ELSEWHERE, ROWS


def test_the_page_is_up_to_date() -> None:
    assert table.PATH.read_text() == table.text(), "run: python -m tests.parity.table"


def test_every_row_has_a_case_or_a_reason() -> None:
    covered = {row for case in CASES for row in case.rows}
    assert covered - ROWS.keys() == set()
    assert ROWS.keys() - covered - ABSENT.keys() - ELSEWHERE.keys() == set()


def test_other_places_of_tests_exist() -> None:
    root = document.PATH.parents[1]
    assert [place for place in ELSEWHERE.values() if not (root / place).exists()] == []


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_a_case_exercises_stands_in_its_resources(case: Case) -> None:
    addresses = Addresses()
    made = list(manifests(case, addresses.place(case), addresses.vips(case)))
    for setting in case.exercises:
        kind, path = setting.split(" ", 1)
        assert any(_has(one["spec"], re.split(r"\.", path)) for one in made if one["kind"] == kind), setting


def _has(value: object, path: list[str]) -> bool:
    if not path:
        return True
    name = path[0].removesuffix("[]")
    if not isinstance(value, dict) or name not in value:
        return False
    inner = value[name]
    if path[0].endswith("[]"):
        return isinstance(inner, list) and any(_has(one, path[1:]) for one in inner)
    return _has(inner, path[1:])


def test_differences_are_read_from_the_page() -> None:
    page = """
## Response headers that may differ

| header | why |
|---|---|
| `server` | Names. |

## Request headers that may differ

## Cases that differ

| case | where | why |
|---|---|---|
| `one` | `status` `a b` | Because. |
| `two` | nothing | is no row. |
"""
    allowed = document.allowed(page)
    assert allowed.response_headers == {"server"}
    assert allowed.request_headers == set()
    assert allowed.cases == {"one": ("status", "a b")}
    assert allowed.explains("one", "step 0: status: 1, not 2")
    assert not allowed.explains("one", "step 0: body: 1, not 2")
    assert not allowed.explains("two", "status")
    with pytest.raises(ValueError, match="no heading"):
        document.allowed("")
