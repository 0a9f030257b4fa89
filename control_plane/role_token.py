"""The bearer tokens of the roles: files in the data directory, made at the first start.

`meshctl control-plane kubeconfig --role viewer` makes a kubeconfig from one. To give a token up, remove its
file and start the control plane again.
"""

import secrets
from pathlib import Path
from typing import Final

from certs.errors import KeyStoreError
from certs.store import write_private
from control_plane.apiserver.identity import Role

_TOKEN_BYTES: Final = 32


def token_file(directory: Path, role: Role) -> Path:
    """Where a role's token is: `admin.token`, `editor.token`, `viewer.token`."""
    return directory / f"{role.value}.token"


def role_tokens(directory: Path) -> dict[Role, str]:
    """Each role's. Raises KeyStoreError for a file without one, or two with the same."""
    tokens = {role: _role_token(token_file(directory, role)) for role in Role}
    if len(set(tokens.values())) < len(tokens):
        raise KeyStoreError(f"{directory}: two roles have the same token; remove one of the files")
    return tokens


def _role_token(path: Path) -> str:
    if not path.exists():
        write_private(path, secrets.token_urlsafe(_TOKEN_BYTES).encode())
    token = path.read_bytes().strip()
    if not token or not token.isascii():
        raise KeyStoreError(f"{path} holds no token; remove it, and a new one is made at the next start")
    return token.decode()
