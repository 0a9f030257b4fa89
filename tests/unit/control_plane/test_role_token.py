"""Tokens of the roles: made once, kept, and never two the same."""

from pathlib import Path

import pytest

from certs.errors import KeyStoreError
from control_plane.apiserver.identity import Role
from control_plane.role_token import role_tokens, token_file


def test_they_are_made_once(tmp_path: Path):
    tokens = role_tokens(tmp_path)
    assert set(tokens) == set(Role)
    assert role_tokens(tmp_path) == tokens
    assert token_file(tmp_path, Role.VIEWER).stat().st_mode & 0o777 == 0o600


def test_two_roles_with_one_token(tmp_path: Path):
    role_tokens(tmp_path)
    token_file(tmp_path, Role.VIEWER).write_bytes(token_file(tmp_path, Role.ADMIN).read_bytes())
    with pytest.raises(KeyStoreError, match="same token"):
        role_tokens(tmp_path)
