"""The kubeconfig file: how kubectl, `meshctl` and the client find the API server and log in."""

import base64
import binascii
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

_NAME = "meshproxy"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes mounts the credentials of a pod."""
_TOKEN_MEND = "use a token, a token file or a client certificate"  # noqa: S105 — advice, not a secret
_UNKNOWN_LOGINS = dict.fromkeys(("exec", "auth-provider", "username", "password", "as"), _TOKEN_MEND)
_UNKNOWN_CONNECTIONS = {
    "insecure-skip-tls-verify": "give the server's certificate-authority",
    "proxy-url": "connect directly",
}


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
    token_file: Path | None = None
    """Holds the token instead, and is replaced from time to time, as in a cluster's pods."""
    client_certificate_pem: str = field(default="", repr=False)
    client_key_pem: str = field(default="", repr=False)
    """Both or neither: what the client presents in the TLS handshake."""
    tls_server_name: str = ""
    """Whom the server's certificate must name, when it is reached at another address; empty: its host."""

    @property
    def current_token(self) -> str:
        """Of now. Raises OSError, UnicodeDecodeError when the token file cannot be read."""
        return self.token if self.token_file is None else self.token_file.read_text().strip()


def write_kubeconfig(path: Path, config: Kubeconfig) -> None:
    """Write atomically with mode 0600: a reader sees the old file or the new one."""
    _write_private(path, kubeconfig_text(config))


def kubeconfig_text(config: Kubeconfig) -> str:
    """The file's content; it holds the token, or the client's key."""
    cluster = {"server": config.server, "certificate-authority-data": _base64(config.ca_pem)}
    if config.tls_server_name:
        cluster["tls-server-name"] = config.tls_server_name
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": _NAME,
        "contexts": [
            {"name": _NAME, "context": {"cluster": _NAME, "user": _NAME, "namespace": config.namespace}}
        ],
        "clusters": [{"name": _NAME, "cluster": cluster}],
        "users": [{"name": _NAME, "user": _login(config)}],
    }
    return yaml.safe_dump(document, sort_keys=False)


def _login(config: Kubeconfig) -> dict[str, str]:
    login = {"token": config.token}
    if config.token_file is not None:
        login = {"tokenFile": str(config.token_file.absolute())}
    if config.client_certificate_pem:
        login["client-certificate-data"] = _base64(config.client_certificate_pem)
        login["client-key-data"] = _base64(config.client_key_pem)
    return login


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


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
    _refuse(user, _UNKNOWN_LOGINS, path, "user")
    _refuse(cluster, _UNKNOWN_CONNECTIONS, path, "cluster")
    server = cluster.get("server")
    if not isinstance(server, str):
        raise KubeconfigError(f"kubeconfig {path}: cluster.server is missing")
    token_file = user.get("tokenFile")
    certificate, key = (_pem(user, field, path) for field in ("client-certificate", "client-key"))
    if bool(certificate) != bool(key):
        raise KubeconfigError(f"kubeconfig {path}: user: client-certificate and client-key come together")
    return Kubeconfig(
        server,
        _pem(cluster, "certificate-authority", path),
        str(user.get("token") or ""),
        str(context.get("namespace") or "default"),
        token_file=path.parent / token_file if isinstance(token_file, str) and token_file else None,
        client_certificate_pem=certificate,
        client_key_pem=key,
        tls_server_name=str(cluster.get("tls-server-name") or ""),
    )


def in_cluster(environment: Mapping[str, str], account: Path = SERVICE_ACCOUNT) -> Kubeconfig:
    """How a pod of a cluster reaches its API server: what Kubernetes puts into every pod. Raises
    KubeconfigError."""
    host, port = (environment.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
    if not host or not port:
        raise KubeconfigError("KUBERNETES_SERVICE_HOST is not set: outside a pod, name a kubeconfig")
    try:
        ca_pem = (account / "ca.crt").read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise KubeconfigError(f"in-cluster configuration: {exc}") from exc
    address = f"[{host}]" if ":" in host else host
    return Kubeconfig(f"https://{address}:{port}", ca_pem, "", token_file=account / "token")


def _refuse(given: dict[str, object], fields: Mapping[str, str], path: Path, where: str) -> None:
    for field_name, mend in fields.items():
        if given.get(field_name):
            raise KubeconfigError(f"kubeconfig {path}: {where}.{field_name} is not supported; {mend}")


def _named(
    document: dict[str, object], collection: str, field: str, name: object, path: Path
) -> dict[str, object]:
    entries = document.get(collection)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(field), dict):
            found: dict[str, object] = entry[field]
            return found
    raise KubeconfigError(f"kubeconfig {path}: {collection} has no {field} named {name!r}")


def _pem(holder: dict[str, object], field_name: str, path: Path) -> str:
    """Inline as `…-data`, or the file beside the kubeconfig; empty when neither is given."""
    data, file = holder.get(f"{field_name}-data"), holder.get(field_name)
    try:
        if isinstance(data, str):
            return base64.b64decode(data, validate=True).decode()
        return (path.parent / file).read_text() if isinstance(file, str) and file else ""
    except (OSError, UnicodeDecodeError, binascii.Error) as exc:
        raise KubeconfigError(f"kubeconfig {path}: {field_name}: {exc}") from exc
