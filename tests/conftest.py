"""Shared fixtures. Privileged tests skip visibly without root, and fail instead of skipping in CI."""

import os

import pytest
from hypothesis import HealthCheck, settings

from meshproxy._speedups import finder

# The same examples on every machine, and none is too slow: how fast a machine is says nothing about the code.
settings.register_profile(
    "mesh", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("mesh")

if os.environ.get(finder.VARIABLE) == "on":
    finder.install()  # the same tests, over the compiled modules; without it they run on the sources


def _has_privileges() -> bool:
    """Root with CAP_NET_ADMIN and CAP_SYS_ADMIN, read from the effective capability set."""
    with open("/proc/self/status") as status:
        effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    net_admin, sys_admin = 1 << 12, 1 << 21
    return os.geteuid() == 0 and bool(effective & net_admin) and bool(effective & sys_admin)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("privileged") is None or _has_privileges():
        return
    message = "needs root with CAP_NET_ADMIN and CAP_SYS_ADMIN"
    if os.environ.get("CI"):
        pytest.fail(f"{message}; in CI a privileged test must run")
    pytest.skip(message)
