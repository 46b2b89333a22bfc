"""A workspace that a daemon serves, as the server's own tests have it, and a keychain that is a test's own."""

from __future__ import annotations

from collections.abc import Iterator

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail

from tests.server.conftest import env, root, served

__all__ = ["env", "keychain", "no_keychain", "root", "served"]


class _Kept(KeyringBackend):
    """A keychain in memory."""

    priority = 1

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[f"{service}/{username}"] = password


@pytest.fixture
def no_keychain() -> Iterator[None]:
    """As on a machine that has none."""
    before = keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call]  # it has no types
    yield
    keyring.set_keyring(before)


@pytest.fixture
def keychain() -> Iterator[dict[str, str]]:
    before, own = keyring.get_keyring(), _Kept()
    keyring.set_keyring(own)
    yield own.kept
    keyring.set_keyring(before)
