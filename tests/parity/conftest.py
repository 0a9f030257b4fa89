"""The last line of the suite: how many cases, how many differences."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.parity.comparison import Verdict

VERDICTS: pytest.StashKey[dict[str, Verdict]] = pytest.StashKey()
"""Case -> what came out."""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[VERDICTS] = {}


@pytest.fixture(scope="session")
def verdicts(pytestconfig: pytest.Config) -> dict[str, Verdict]:
    return pytestconfig.stash[VERDICTS]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    yield
    verdicts = session.config.stash.get(VERDICTS, {})
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if verdicts and reporter is not None:
        differing = sum(bool(verdict.differences) for verdict in verdicts.values())
        unexplained = sum(bool(verdict.unexplained) for verdict in verdicts.values())
        reporter.write_line(f"{len(verdicts)} cases, {differing} differences ({unexplained} unexplained)")
