"""What is said of one layer (pure)."""

from dataclasses import dataclass
from enum import Enum


class Layer(Enum):
    """In the order in which they are walked: each rests on those before it."""

    POD = "pod running"
    LISTENING = "listening"
    DNS = "DNS"
    ENDPOINTS = "endpoints"
    ADDRESS = "pod address"
    INTERCEPTION = "interception"
    SIDECAR = "sidecar ready"
    CONFIGURATION = "configuration synced"
    CERTIFICATE = "certificate valid"
    POLICY = "policy"
    EJECTION = "ejection"


class State(Enum):
    OK = "ok"
    FAULT = "fault"
    UNSEEN = "not seen"
    """It could not be looked at: nothing is said about it."""
    ABSENT = "does not apply"


@dataclass(frozen=True, slots=True)
class Finding:
    """The judgement on one layer."""

    layer: Layer
    state: State
    what: str
    """Of a fault, what is wrong; else what was found, or why it was not looked at."""
    evidence: tuple[str, ...] = ()
    """What was seen, a line each: of a fault what proves it, else what is worth knowing."""
    mend: str = ""
    """Of a fault: a command."""
    advice: str = ""
    """What the command is for, where it does not say so itself."""


def ok(layer: Layer, what: str, *notes: str) -> Finding:
    return Finding(layer, State.OK, what, tuple(notes))


def unseen(layer: Layer, why: str) -> Finding:
    return Finding(layer, State.UNSEEN, why)


def absent(layer: Layer, why: str) -> Finding:
    return Finding(layer, State.ABSENT, why)


def fault(layer: Layer, what: str, *evidence: str, mend: str, advice: str = "") -> Finding:
    return Finding(layer, State.FAULT, what, tuple(line for line in evidence if line), mend, advice)
