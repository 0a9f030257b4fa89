"""The kubeconfig file."""

from pathlib import Path

import pytest
import yaml

from control_plane.kubeconfig import (
    Kubeconfig,
    KubeconfigError,
    in_cluster,
    read_kubeconfig,
    write_kubeconfig,
)

CONFIG = Kubeconfig("https://127.0.0.1:6443", "-----BEGIN CERTIFICATE-----\n", "secret", "shop")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, CONFIG)
    assert read_kubeconfig(path) == CONFIG
    assert path.stat().st_mode & 0o777 == 0o600
    write_kubeconfig(path, Kubeconfig("https://other", "", ""))
    assert read_kubeconfig(path) == Kubeconfig("https://other", "", "")
    assert [entry.name for entry in tmp_path.iterdir()] == ["kubeconfig"]


@pytest.mark.parametrize(
    "config",
    [
        Kubeconfig("https://127.0.0.1:1", "CA", "", token_file=Path("/var/token")),
        Kubeconfig("https://127.0.0.1:1", "CA", "", client_certificate_pem="C", client_key_pem="K"),
        Kubeconfig("https://127.0.0.1:1", "CA", "t", tls_server_name="api.example"),
    ],
)
def test_every_login_is_read_as_it_was_written(tmp_path: Path, config: Kubeconfig) -> None:
    write_kubeconfig(tmp_path / "kubeconfig", config)
    assert read_kubeconfig(tmp_path / "kubeconfig") == config


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
        ("certificate-authority-data: ", "certificate-authority-data: '?' #", "certificate-authority"),
        ("certificate-authority-data: ", "certificate-authority: no-file #", "certificate-authority"),
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


def changed(path: Path, part: str, **fields: object) -> None:
    document = yaml.safe_load(path.read_text())
    document[f"{part}s"][0][part] |= fields
    path.write_text(yaml.safe_dump(document))


def test_a_client_certificate_is_read_from_data_and_from_files(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, CONFIG)
    (tmp_path / "key.pem").write_text("KEY")
    changed(path, "user", **{"client-certificate-data": "Q0VSVA==", "client-key": "key.pem"})
    config = read_kubeconfig(path)
    assert (config.client_certificate_pem, config.client_key_pem) == ("CERT", "KEY")
    assert "KEY" not in repr(config)


def test_a_token_file_is_read_at_each_use(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, CONFIG)
    changed(path, "user", tokenFile="token")
    config = read_kubeconfig(path)
    for text in ("one\n", "two\n"):
        (tmp_path / "token").write_text(text)
        assert config.current_token == text.strip()


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        ("user", "exec", {"command": "aws"}, "user.exec is not supported; use a token"),
        ("cluster", "insecure-skip-tls-verify", True, "cluster.insecure-skip-tls-verify is not supported"),
        ("user", "client-certificate-data", "Q0VSVA==", "client-certificate and client-key come together"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    tmp_path: Path, part: str, field: str, value: object, message: str
) -> None:
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, CONFIG)
    changed(path, part, **{field: value})
    with pytest.raises(KubeconfigError, match=message):
        read_kubeconfig(path)


def test_a_pod_finds_its_cluster(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("CA")
    (tmp_path / "token").write_text("T")
    config = in_cluster({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}, tmp_path)
    assert (config.server, config.ca_pem, config.current_token) == ("https://[fd00::1]:443", "CA", "T")
    with pytest.raises(KubeconfigError, match="outside a pod"):
        in_cluster({}, tmp_path)
