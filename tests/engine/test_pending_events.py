"""What a run has decided and not yet made durable, and what of it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from assent import Runtime
from assent.errors import Json
from assent.runtime.service._reading import Reader
from assent.spec.values.json_fields import objects


async def test_payload_of_an_outcome_that_waits_for_its_turn_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more iterations than run at once, outcomes wait in the inbox while others are made durable; each keeps its output."""
    monkeypatch.setenv("ASSENT_LEDGER_KEY", str(tmp_path / "key"))
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    step: dict[str, Json] = {
        "name": "each",
        "foreach": "${{ inputs.names }}",
        "capability": "io.fs.write_file",
        "inputs": {"path": "${{ item }}", "content": "text"},
    }
    workflow: dict[str, Json] = {"name": "many", "inputs": {"names": {"type": "array"}}, "steps": [step]}
    names: list[Json] = [f"file-{number}" for number in range(40)]
    async with Runtime.open(workspace) as rt:
        settings = rt.settings
        result = await rt.run(workflow, {"names": names})
    assert result.status == "succeeded"
    with Reader.open(settings) as reader:
        report = reader.verify(checkpoint=None, key=None)
        shown = reader.show(str(result.run_id))
    assert (report["ok"], report["faults"]) == (True, [])
    outputs = [step["output"] for step in objects(shown, "steps") if "[" in str(step["name"])]
    assert [output["path"] for output in outputs if isinstance(output, dict)] == names
