"""`[git]` says who commits where a call does not."""

from __future__ import annotations

from pathlib import Path

import pygit2
import pytest

from assent.errors import InputError
from assent.runtime import Runtime
from assent.runtime.settings.effective import Settings
from tests.support.own_places import own_places
from tests.support.repositories import repository

_POLICY = "version: 1\ndefault: ALLOW\nrules: []\n"


async def test_who_commits_is_configured(tmp_path: Path, clean_env: dict[str, str]) -> None:
    """The call's own words go first, then `[git]`, then the principal."""
    workspace = tmp_path / "ws"
    repository(workspace, {"a": "one\n"})
    (workspace / "policy.yaml").write_text(_POLICY)
    (workspace / "policy.yaml").chmod(0o600)
    (workspace / "assent.toml").write_text(
        'policy = "policy.yaml"\n[git]\nname = "Release bot"\nemail = "r@example.org"\n'
    )
    with own_places(tmp_path, clean_env) as env:
        settings = Settings.resolve(workspace=workspace, environ=env, cwd=workspace)
        assert [one.value for one in settings.effective if one.name.startswith("git.")] == [
            "Release bot",
            "r@example.org",
        ]
        async with Runtime(settings) as runtime:
            for said, wanted in (({}, "Release bot"), ({"author_name": "Somebody"}, "Somebody")):
                result = await runtime.call("sys.git.commit", {"message": "m", "allow_empty": True, **said})
                assert result.status == "succeeded", result
                commit = pygit2.Repository(str(workspace)).head.peel(pygit2.Commit)
                assert (commit.author.name, commit.author.email) == (wanted, "r@example.org")


@pytest.mark.parametrize(
    "line", ['name = ""', 'name = "a <b>"', 'email = "a b"', "email = 1", 'nmae = "x"', 'name = "a\\nb"']
)
def test_what_git_could_not_write_is_refused(tmp_path: Path, clean_env: dict[str, str], line: str) -> None:
    (tmp_path / "assent.toml").write_text(f"[git]\n{line}\n")
    with pytest.raises(InputError) as caught:
        Settings.resolve(workspace=tmp_path, environ=clean_env, cwd=tmp_path)
    assert caught.value.code == "CONFIG_INVALID"
    assert (caught.value.path or "").endswith("assent.toml:2:1")
