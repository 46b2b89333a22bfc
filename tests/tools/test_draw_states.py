"""The page of states is what the tables say, and the tables know every state."""

from __future__ import annotations

from assent.engine import RUN_TRANSITIONS, STEP_TRANSITIONS
from assent.spec.states import RunState, StepState
from tools.draw_states import PAGE, RUN_MEANINGS, STEP_MEANINGS, page


def test_the_page_is_drawn_from_the_tables() -> None:
    """Whoever changes a table draws the page again: `python -m tools.draw_states`."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_state_is_in_the_tables_and_explained() -> None:
    assert set(RUN_TRANSITIONS) == set(RUN_MEANINGS) == set(RunState) - {RunState.INTERRUPTED}
    assert set(STEP_TRANSITIONS) == set(STEP_MEANINGS) == set(StepState)
