"""Draws `docs/states.md` from the two transition tables: `python -m tools.draw_states` writes it, a test holds it equal.

The diagrams are Mermaid, which GitHub and most editors draw; read as text they are the tables.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from assent.engine import RUN_TRANSITIONS, STEP_TRANSITIONS
from assent.spec.states import RunState, StepState

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "states.md"

S = TypeVar("S", bound=StrEnum)

RUN_MEANINGS: Final[Mapping[RunState, str]] = {
    RunState.PENDING: "It exists; nothing has happened yet.",
    RunState.RUNNING: "Steps begin or are under way. Shown as `interrupted`, like every state that moves, when nobody drives it.",
    RunState.WAITING: "Nothing moves until a person decides: a step, or the undo of the whole run, needs approval.",
    RunState.SUCCEEDED: "Every step passed. It may still be undone.",
    RunState.FAILED: (
        "It ended without success and there was nothing to take back, or a person gave a step up; or a step of its `finally` "
        "failed, and what it did before stands."
    ),
    RunState.ROLLING_BACK: "Its effects are being taken back, latest first.",
    RunState.ROLLED_BACK: "It ended without success and every effect was taken back.",
    RunState.CANCELLED: "A person stopped it and every effect was taken back.",
    RunState.UNDOING: "It had succeeded, or its `finally` left something; its effects are being taken back on request.",
    RunState.UNDONE: "Every effect that can be taken back was taken back on request.",
    RunState.NEEDS_ATTENTION: "A step is in doubt or could not be taken back: a person must look.",
}

FINALLY: Final = (
    "The steps of a [`finally`](workflows.md#at-last) run before the state in which the run ends: a run that was rolled back is "
    "`running` again for them. What they leave can be undone, however it ended; other runs only once they succeeded."
)

STEP_MEANINGS: Final[Mapping[StepState, str]] = {
    StepState.PENDING: "It has not begun, or waits for another attempt.",
    StepState.AWAITING_APPROVAL: "A person is asked.",
    StepState.WAITING: "It waits for a time or a signal, and nobody is asked.",
    StepState.RUNNING: "Its intent is recorded and its effect is under way, or is being asked about.",
    StepState.SUCCEEDED: "It has its output.",
    StepState.FAILED: "It failed for good; what it may have left is taken back with the run.",
    StepState.DENIED: "Policy or a person said no.",
    StepState.SKIPPED: "Its `when` was false; its output is null.",
    StepState.IN_DOUBT: (
        "Nobody can tell whether its effect happened: `assent resolve`. Any step that had begun can come here, and its run to "
        "`needs_attention`, by `assent audit accept`."
    ),
    StepState.COMPENSATING: "Its effect is being taken back.",
    StepState.COMPENSATED: "Its effect is taken back.",
    StepState.COMPENSATION_FAILED: "Its effect could not be taken back, or the policy of its admission does not let go "
    "what would do that (`COMPENSATION_DENIED`): `assent resume` or `assent resolve`.",
}


def page() -> str:
    """The whole page."""
    return "\n".join(
        [
            "# States",
            "",
            "What a run and a step can be, and every move that is possible. The engine refuses any other.",
            "This page is drawn from the tables of `assent.engine` by `python -m tools.draw_states`.",
            "",
            "## A run",
            "",
            FINALLY,
            "",
            *diagram(RUN_TRANSITIONS, RunState.PENDING),
            "",
            *meanings(RUN_MEANINGS),
            "",
            "## A step",
            "",
            *diagram(STEP_TRANSITIONS, StepState.PENDING),
            "",
            *meanings(STEP_MEANINGS),
            "",
        ]
    )


def diagram(transitions: Mapping[S, frozenset[S]], first: S) -> list[str]:
    """The lines of one diagram: states in the order of their enum; a state without a way on ends it."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first.value}"]
    for state in filter(transitions.__contains__, type(first)):
        followers = transitions[state]
        lines += [
            f"    {state.value} --> {follower.value}" for follower in type(first) if follower in followers
        ]
        if not followers:
            lines.append(f"    {state.value} --> [*]")
    return [*lines, "```"]


def meanings(texts: Mapping[S, str]) -> list[str]:
    """A table of states and what each means."""
    return [
        "| state | meaning |",
        "|---|---|",
        *(f"| `{state.value}` | {text} |" for state, text in texts.items()),
    ]


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
