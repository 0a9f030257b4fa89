"""What stands in the data directory and cannot be used: named, with the mend, before anything is served."""

from pathlib import Path

import pytest

from certs.errors import KeyStoreError
from control_plane.app import ControlPlane
from control_plane.options import parse_options
from control_plane.publisher import SnapshotPublisher


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", "tökén".encode()])
async def test_an_administrators_token_that_is_none(tmp_path: Path, content: bytes) -> None:
    """An empty one would let everybody in."""
    (tmp_path / "admin.token").write_bytes(content)
    ports = "--xds-port 0 --signing-port 0 --metrics-port 0 --plaintext-xds-address 127.0.0.1:0"
    flags = f"--data-dir {tmp_path} --rest-address 127.0.0.1:0 --bind-address 127.0.0.1 {ports}"
    with pytest.raises(KeyStoreError, match=r"admin\.token holds no token; remove it"):
        await ControlPlane.start(parse_options(flags.split()))
    assert not (tmp_path / "ports.json").exists()
    assert not (tmp_path / "kubeconfig").exists()


async def test_a_part_that_ends_before_everything_has_been_read_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: SnapshotPublisher) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(SnapshotPublisher, "run", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        await ControlPlane.start(
            parse_options(["--data-dir", str(tmp_path), "--rest-address", "127.0.0.1:0"])
        )
    assert not (tmp_path / "ports.json").exists()
