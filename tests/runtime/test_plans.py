"""Saved plans: run once, exactly as shown, and erased with what they were run as."""

from __future__ import annotations

from pathlib import Path

import pytest

from assent import Runtime
from assent.errors import AssentError, Json
from assent.runtime import api

WORKFLOW = """\
name: note
inputs: { text: string }
steps:
  - name: write
    capability: io.fs.write_file
    inputs: { path: note.txt, content: "${{ inputs.text }}" }
"""
SECRET = "the word that must not stay"


async def test_erased_run_takes_its_plan_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `erase` the inputs stand nowhere in the state directory, and the plan still counts as used."""
    monkeypatch.setenv("ASSENT_LEDGER_KEY", str(tmp_path / "key"))
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    settings = Runtime.open(workspace).settings
    request: dict[str, Json] = {
        "text": WORKFLOW,
        "source": "note.yaml",
        "base": str(workspace),
        "inputs": {"text": SECRET},
    }
    plan_id = str((await api._plan(request, settings))["plan_id"])
    async with Runtime.open(workspace) as rt:
        actor = rt.actor(None)
        result = await rt.run_plan(plan_id, actor)
        assert result.status == "succeeded"
        (workspace / "note.txt").unlink()
        assert _holding(settings.state, SECRET)
        await rt.erase(str(result.run_id), actor)
        with pytest.raises(AssentError) as refused:
            await rt.run_plan(plan_id, actor)
    assert refused.value.code == "PLAN_USED"
    assert _holding(settings.state, SECRET) == []


def _holding(folder: Path, text: str) -> list[str]:
    """The files below a folder that hold the text."""
    return [path.name for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
