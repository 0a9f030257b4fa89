"""The kubeconfig file."""

from pathlib import Path

import pytest
import yaml

from control_plane.kubeconfig import Kubeconfig, KubeconfigError, read_kubeconfig, write_kubeconfig

CONFIG = Kubeconfig("https://127.0.0.1:6443", "-----BEGIN CERTIFICATE-----\n", "secret", "shop")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, CONFIG)
    assert read_kubeconfig(path) == CONFIG
    assert path.stat().st_mode & 0o777 == 0o600
    write_kubeconfig(path, Kubeconfig("https://other", "", ""))
    assert read_kubeconfig(path) == Kubeconfig("https://other", "", "")
    assert [entry.name for entry in tmp_path.iterdir()] == ["kubeconfig"]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, CONFIG)

    def full(descriptor: int) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="full"):
        write_kubeconfig(path, Kubeconfig("https://other", "", ""))
    assert read_kubeconfig(path) == CONFIG
    assert [entry.name for entry in tmp_path.iterdir()] == ["kubeconfig"]


def test_a_certificate_file_beside_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, CONFIG)
    document = yaml.safe_load(path.read_text())
    document["clusters"][0]["cluster"] = {"server": "https://x", "certificate-authority": "ca.pem"}
    path.write_text(yaml.safe_dump(document))
    (tmp_path / "ca.pem").write_text("PEM")
    assert read_kubeconfig(path).ca_pem == "PEM"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("", "[", "kubeconfig"),
        ("", "- a\n", "kubeconfig"),
        ("current-context: meshproxy", "current-context: other", "contexts has no context named 'other'"),
        ("server:", "servers:", "cluster.server is missing"),
        ("certificate-authority-data: ", "certificate-authority-data: '?' #", "certificate authority"),
        ("certificate-authority-data: ", "certificate-authority: no-file #", "certificate authority"),
    ],
)
def test_files_that_cannot_be_used_are_named(tmp_path: Path, before: str, after: str, message: str) -> None:
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, CONFIG)
    text = path.read_text()
    path.write_text(text.replace(before, after) if before else after)
    with pytest.raises(KubeconfigError, match=message) as refusal:
        read_kubeconfig(path)
    assert str(path) in str(refusal.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="No such file"):
        read_kubeconfig(tmp_path / "nothing")
