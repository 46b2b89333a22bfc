"""A workspace that a daemon serves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.own_places import own_places
from tests.support.serving import Serving, daemon


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with a policy that asks about what is deleted, denies what lies in `private`, and lets one folder be made."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "assent.toml").write_text('policy = "policy.yaml"\n')
    (folder / "policy.yaml").write_text(
        "version: 1\nrules:\n"
        "  - id: private\n    when: {capability: 'io.fs.*'}\n    if: 'inputs.path.startsWith(\"private/\")'\n"
        "    decision: DENY\n    reason: it is private\n"
        "  - id: deletes\n    when: {operation_type: DELETE}\n    decision: REQUIRE_APPROVAL\n    reason: it is gone\n"
        "  - id: rest\n    decision: ALLOW\n    reason: harmless\n"
        "limits:\n  - {id: one-folder, when: {capability: io.fs.make_dir}, window: 1h, calls: 1}\n"
    )
    (folder / "policy.yaml").chmod(0o600)
    return folder


@pytest.fixture
def env(tmp_path: Path, clean_env: dict[str, str]) -> Iterator[dict[str, str]]:
    with own_places(tmp_path, clean_env) as found:
        yield found


@pytest.fixture
async def served(root: Path, env: dict[str, str]) -> AsyncIterator[Serving]:
    async with daemon(root, env) as found:
        yield found
