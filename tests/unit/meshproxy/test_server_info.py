"""`/server_info` of a sidecar that has just been made."""

from __future__ import annotations

import pytest

from meshproxy._speedups.finder import Speedups
from meshproxy.app import Sidecar
from meshproxy.bootstrap import parse
from tests.unit.meshproxy.test_bootstrap import ENVIRONMENT


@pytest.mark.parametrize(
    ("speedups", "data_path"), [(Speedups.COMPILED, "compiled"), (Speedups.OUTDATED, "sources")]
)
def test_it_says_what_requests_run_through_and_why(speedups, data_path):
    info = Sidecar(parse([], ENVIRONMENT), speedups).server_info()
    assert (info["data_path"], info["compiled_modules"]) == (data_path, speedups.value)
    assert info["state"] == "INITIALIZING"
