"""What our control plane emits is what our sidecar acts on: every resource of every mode translates."""

import pytest

from control_plane.snapshot import SHORT_NAMES
from control_plane.translate.settings import MeshSettings, Node
from meshproxy.xds.translate import translate
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh


@pytest.mark.parametrize("settings", [mesh.STRICT, mesh.PERMISSIVE, mesh.DISABLED, mesh.REGISTRY_ONLY])
@pytest.mark.parametrize("node", [mesh.WEB, mesh.ELSEWHERE, mesh.CATALOG])
def test_a_sidecar_accepts_everything_it_is_sent(settings: MeshSettings, node: Node) -> None:
    snapshot = mesh.translate(mesh.shop(build.route("split")), node, settings)
    for type_url in SHORT_NAMES:
        sent = snapshot.of_type(type_url)
        accepted = translate(type_url, [resource.body for resource in sent.values()])
        assert set(accepted) == set(sent)
