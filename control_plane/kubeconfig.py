"""The kubeconfig file: how kubectl, `meshctl` and the client find the API server and log in."""

import base64
import binascii
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

_NAME = "meshproxy"


class KubeconfigError(ValueError):
    """A kubeconfig that cannot be used; the message names the file and the field."""


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """One cluster and one user."""

    server: str
    """URL, e.g. `https://127.0.0.1:15015`."""
    ca_pem: str
    """Certificates (PEM) that the server is verified against."""
    token: str
    """Bearer token: a secret."""
    namespace: str = "default"


def write_kubeconfig(path: Path, config: Kubeconfig) -> None:
    """Write atomically with mode 0600: a reader sees the old file or the new one."""
    ca_data = base64.b64encode(config.ca_pem.encode()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": _NAME,
        "contexts": [
            {"name": _NAME, "context": {"cluster": _NAME, "user": _NAME, "namespace": config.namespace}}
        ],
        "clusters": [
            {"name": _NAME, "cluster": {"server": config.server, "certificate-authority-data": ca_data}}
        ],
        "users": [{"name": _NAME, "user": {"token": config.token}}],
    }
    _write_private(path, yaml.safe_dump(document, sort_keys=False))


def _write_private(path: Path, text: str) -> None:
    # Not the key store's: whoever only reads a kubeconfig must not load the cryptography package for it.
    descriptor, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}."
    )  # mkstemp makes mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read_kubeconfig(path: Path) -> Kubeconfig:
    """The cluster and user of the current context. Raises KubeconfigError."""
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise KubeconfigError(f"kubeconfig {path}: {exc}") from exc
    if not isinstance(document, dict):
        raise KubeconfigError(f"kubeconfig {path}: is not a mapping")
    context = _named(document, "contexts", "context", document.get("current-context"), path)
    cluster = _named(document, "clusters", "cluster", context.get("cluster"), path)
    user = _named(document, "users", "user", context.get("user"), path)
    namespace = str(context.get("namespace") or "default")
    server = cluster.get("server")
    if not isinstance(server, str):
        raise KubeconfigError(f"kubeconfig {path}: cluster.server is missing")
    return Kubeconfig(server, _ca_pem(cluster, path), str(user.get("token") or ""), namespace)


def _named(
    document: dict[str, object], collection: str, field: str, name: object, path: Path
) -> dict[str, object]:
    entries = document.get(collection)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(field), dict):
            found: dict[str, object] = entry[field]
            return found
    raise KubeconfigError(f"kubeconfig {path}: {collection} has no {field} named {name!r}")


def _ca_pem(cluster: dict[str, object], path: Path) -> str:
    """Inline data, or the file beside the kubeconfig; empty when neither is given (the system's roots)."""
    data, file = cluster.get("certificate-authority-data"), cluster.get("certificate-authority")
    try:
        if isinstance(data, str):
            return base64.b64decode(data, validate=True).decode()
        return (path.parent / file).read_text() if isinstance(file, str) else ""
    except (OSError, UnicodeDecodeError, binascii.Error) as exc:
        raise KubeconfigError(f"kubeconfig {path}: certificate authority: {exc}") from exc
