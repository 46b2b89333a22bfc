"""Codes of what happens inside a call: hooks, state, callbacks, listeners."""

from __future__ import annotations

from typing import Final

from assent.errors._explanation import Explanation

CALL_CODES: Final[dict[str, Explanation]] = {
    "HOOK_INVALID": Explanation(
        "A hook can't be registered: it is no function, its limits are out of bounds, or its level has one with that id.",
        "Mend what the message names; give each hook of a level an `id` of its own.",
    ),
    "HOOK_REFUSED": Explanation(
        "A hook refused a call. Before the effect nothing has happened; after it, the call failed and is taken back.",
        "The message is the hook's; `details.hook` names it.",
    ),
    "HOOK_FAILED": Explanation(
        "A hook raised an error that it did not mean. What is not known to be fine does not pass, so the call was stopped.",
        "Mend the hook that `details.hook` names, or take it out.",
    ),
    "HOOK_TIMEOUT": Explanation(
        "A hook took longer than it may and was stopped, and the call with it.",
        "Give the hook a longer `timeout_s`, or mend what is slow.",
    ),
    "STATE_TYPE": Explanation(
        "A call's state was to be kept under a key of another type.",
        "Use a key of the value's own type.",
    ),
    "CALL_ENDED": Explanation(
        "Something that outlived its call asked to be called back by it.",
        "A thread that goes on after its call cleans up after itself.",
    ),
    "APP_MISSING": Explanation(
        "A call that a test made by hand was asked for its application.",
        "Make the call through a runtime, or give the context its surroundings.",
    ),
    "CAPACITY_INVALID": Explanation(
        "A subscription was to hold fewer events than one, or more than there is room for.",
        "Leave the capacity out to get the usual one.",
    ),
}
