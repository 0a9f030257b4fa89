"""From where pods can be looked into."""

import os
from pathlib import Path

import pytest

from lab.state import LabOptions, LabState, write_state
from meshctl.diagnose.eyes import Blind, LabEyes, eyes_for
from meshctl.diagnose.facts import SidecarFacts, Unseen
from tests.unit.meshctl.diagnose.world import pod

SERVER = "https://127.0.0.1:6443"
POD = pod("web-1", "10.244.0.5")


def lab(labs: Path) -> None:
    (labs / "one").mkdir()
    write_state(labs / "one" / "state.json", LabState(LabOptions(), SERVER))


def test_pods_of_another_cluster_cannot_be_entered(tmp_path: Path) -> None:
    lab(tmp_path)
    eyes = eyes_for("https://192.0.2.1:6443", tmp_path)
    assert isinstance(eyes, Blind)
    for seen in (eyes.inside(POD), eyes.sidecar(POD), eyes.resolve(POD, "a"), eyes.connect(POD, "::1", 1, 0)):
        assert isinstance(seen, Unseen)
        assert "on no lab of this machine" in seen.why


def test_pods_of_a_lab_are_entered_by_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert isinstance(eyes_for(SERVER, tmp_path), LabEyes)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    eyes = eyes_for(SERVER, tmp_path)
    assert isinstance(eyes, Blind)
    assert eyes.inside(POD) == Unseen("to look into pods takes root")


def test_a_pod_without_processes_is_said_to_be_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    eyes = eyes_for(SERVER, tmp_path)
    assert eyes.inside(POD) == Unseen("pod web-1 has no process in lab one")
    assert not isinstance(eyes.sidecar(POD), SidecarFacts)
    assert isinstance(eyes.resolve(POD, "catalog"), Unseen)
    assert isinstance(eyes.connect(POD, "127.0.0.1", 1, 0), Unseen)
