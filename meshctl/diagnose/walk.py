"""The walk through the layers (pure): the first that fails is the cause, what comes after it rests on it."""

from collections.abc import Callable, Sequence

from meshctl.diagnose import (
    address,
    ejection,
    endpoints,
    interception,
    listening,
    names,
    pod_running,
    policy,
    sidecar,
)
from meshctl.diagnose.facts import Facts
from meshctl.diagnose.finding import Finding, State

RULES: tuple[Callable[[Facts], Finding], ...] = (
    pod_running.judge,
    listening.judge,
    names.judge,
    endpoints.judge,
    address.judge,
    interception.judge,
    sidecar.judge_ready,
    sidecar.judge_configuration,
    sidecar.judge_certificate,
    policy.judge,
    ejection.judge,
)
"""One for each `Layer`, in order."""


def walk(facts: Facts) -> list[Finding]:
    """A finding a layer, up to the first fault."""
    findings = []
    for judge in RULES:
        found = judge(facts)
        findings.append(found)
        if found.state is State.FAULT:
            break
    return findings


def cause(findings: Sequence[Finding]) -> Finding | None:
    """The fault, if one was found."""
    return next((one for one in findings if one.state is State.FAULT), None)
