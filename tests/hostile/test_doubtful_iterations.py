"""Iterations of a `foreach` that nobody can tell the outcome of: the run needs attention like any other, and a person ends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assent import Runtime, capability
from assent.spec.capability import RiskLevel

POLICY: dict[str, Any] = {
    "version": 1,
    "rules": [{"id": "all", "when": {"principal": "*"}, "decision": "ALLOW", "reason": "tried here"}],
}


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("doubtful", ["first", "last", "all"])
async def test_run_with_iterations_in_doubt_needs_attention(
    tmp_path: Path, count: int, doubtful: str
) -> None:
    failing = {"first": {0}, "last": {count - 1}, "all": {*range(count)}}[doubtful]

    @capability(
        "t.act",
        description="Act, perhaps",
        operation="WRITE",
        risk=RiskLevel.MEDIUM,
        justification="for the test",
        reversible=True,
        compensation="nothing",
        without={"reconcile": "nobody can tell"},
    )
    async def act(number: int) -> int:
        if number in failing:
            raise ValueError("the connection is gone")
        return number

    @act.compensate
    async def nothing(number: int) -> None:
        del number

    async with Runtime.open(tmp_path, policy=POLICY) as rt:
        rt.register(act)
        result = await rt.run(
            {
                "name": "each",
                "version": "1.0.0",
                "inputs": {"numbers": {"type": "list"}},
                "steps": [
                    {
                        "name": "s",
                        "foreach": "${{ inputs.numbers }}",
                        "capability": "t.act",
                        "inputs": {"number": "${{ item }}"},
                    }
                ],
            },
            {"numbers": [*range(count)]},
        )
        assert result.status == "needs_attention"
        states = {step.name: step.status for step in result.steps}
        assert [states[f"s[{one}]"] for one in sorted(failing)] == ["in_doubt"] * len(failing)
        for one in sorted(failing):
            result = await rt.resolve(result.run_id, f"s[{one}]", "happened", output=one)
        assert result.status == "succeeded"
