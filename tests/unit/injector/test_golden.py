"""Pods of real shape (`golden/*.yaml`) and the patches that they get (`golden/patches/`).

`MESHPROXY_WRITE_GOLDEN=1` writes the patches anew; whoever does reads the difference.
"""

import json
import os
from pathlib import Path

import jsonpatch
import pytest
import yaml

from control_plane.resources.pod import Pod
from injector.annotations import OPAQUE_PORTS
from injector.manifest import Manifest, containers, objects, section, texts
from injector.patch import Injection, judge
from injector.uninject import uninject
from meshproxy.bootstrap import parse
from meshproxy.interception.__main__ import parser, settings_of

FOLDER = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


class _Plain(yaml.SafeDumper):
    """Without anchors: a patch has each value in its place."""

    def ignore_aliases(self, data: object) -> bool:
        return True


ENABLED: Manifest = {"metadata": {"name": "any", "labels": {"meshproxy.io/injection": "enabled"}}}


def pod(name: str) -> Manifest:
    loaded = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def made(name: str) -> Injection:
    return judge(pod(name), ENABLED)


def named(spec: Manifest, name: str) -> Manifest:
    return next(each for each in containers(spec) if each["name"] == name)


@pytest.mark.parametrize("name", NAMES)
def test_the_patch_is_the_one_kept(name: str) -> None:
    injection = made(name)
    said = {"skipped": injection.skipped, "warnings": list(injection.warnings), "patch": injection.patch}
    path = FOLDER / "patches" / f"{name}.yaml"
    if os.environ.get("MESHPROXY_WRITE_GOLDEN"):
        path.write_text(yaml.dump(said, Dumper=_Plain, sort_keys=False, default_flow_style=None, width=110))
    assert said == yaml.safe_load(path.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_applied_it_gives_the_pod_and_a_second_one_is_empty(name: str) -> None:
    injection = made(name)
    patched = jsonpatch.apply_patch(pod(name), injection.patch)
    assert patched == injection.pod
    assert judge(patched, ENABLED).patch == []


@pytest.mark.parametrize("name", NAMES)
def test_taken_out_again_the_pod_is_as_it_was(name: str) -> None:
    assert uninject(made(name).pod) == pod(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_api_takes_the_pod(name: str) -> None:
    injection = made(name)
    for each in (pod(name), injection.pod):
        metadata = {"name": "generated", **section(each, "metadata")}
        Pod.model_validate({**each, "metadata": metadata})


@pytest.mark.parametrize("name", [name for name in NAMES if name != "node-exporter"])
def test_interception_and_sidecar_understand_what_they_are_given(name: str) -> None:
    injection = made(name)
    spec = section(injection.pod, "spec")
    values = {
        entry["name"]: entry.get("value", "10.244.0.7") for entry in objects(named(spec, "meshproxy"), "env")
    }
    bootstrap = parse([], {str(key): str(value) for key, value in values.items()})
    turned = [path for path in bootstrap.app_probes if f'"{path}"' in json.dumps(spec)]
    assert len(turned) == len(bootstrap.app_probes)
    if name != "gateway":
        command = named(spec, "meshproxy-init")["command"]
        assert isinstance(command, list)
        settings_of(parser({}).parse_args(command[3:]))


def test_there_are_twenty_and_all_kinds_of_things_in_them() -> None:
    assert len(NAMES) >= 20
    everything = [made(name) for name in NAMES]
    assert sum(bool(each.skipped) for each in everything) == 1
    assert sum(bool(each.warnings) for each in everything) == 2
    opaque = [
        each for each in everything if OPAQUE_PORTS in texts(section(each.pod, "metadata"), "annotations")
    ]
    assert len(opaque) == 4
