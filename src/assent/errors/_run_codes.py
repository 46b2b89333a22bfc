"""The codes that a run can meet: calls and their handlers, steps, approvals, undo, sessions, plans."""

from __future__ import annotations

from typing import Final

from assent.errors._explanation import Explanation

RUN_CODES: Final[dict[str, Explanation]] = {
    "INVALID_INPUT": Explanation(
        "The inputs of a call are not what its capability takes; every fault is listed.",
        "Correct the values that the details name; `assent capability show CAPABILITY` shows the parameters.",
    ),
    "INVALID_OUTPUT": Explanation(
        "A capability returned what its own spec forbids. Its effect happened, so it counts as failed and is taken back.",
        "Mend the handler or the spec; nothing of the caller is wrong.",
    ),
    "ATTACHMENT_UNKNOWN": Explanation(
        "No output and no error of the run speaks of bytes with this digest.",
        "`assent show RUN --json` tells what is attached, as `blob` with its digest; the beginning of one is enough.",
    ),
    "HANDLER_INVALID": Explanation(
        "A capability's handler does not fit its spec: a part is missing, or its types are others.",
        "Give the handler the part or the types that the message names.",
    ),
    "HANDLER_MISSING": Explanation(
        "A capability is registered without anything that performs it.",
        "Register both together: `rt.register(spec, handler)`.",
    ),
    "HANDLER_FAILED": Explanation(
        "A handler raised an error of its own, so nobody knows what it did until it was asked.",
        "The message is the handler's; `assent show RUN` tells what became of the step.",
    ),
    "STEP_TIMEOUT": Explanation(
        "An attempt took longer than its limit and was stopped; what it did is unknown until it was asked.",
        "Give the step a longer `timeout`, or mend what is slow.",
    ),
    "STEP_INTERRUPTED": Explanation(
        "A process ended while the step was under way.",
        "Nothing: `assent resume` settles it.",
    ),
    "STEP_FAILED": Explanation(
        "A step failed for a reason that was not recorded.",
        "`assent show RUN` shows the run's events.",
    ),
    "STEP_ABANDONED": Explanation(
        "A person gave a step up: whatever it left in the world stays as it is.",
        "Nothing: it was asked for with `assent resolve RUN STEP --abandon`.",
    ),
    "STEP_TAKEN_BACK": Explanation(
        "A person said that a step's effect is already taken back, so the run could not go on.",
        "Nothing: it was asked for with `assent resolve RUN STEP --compensated`.",
    ),
    "STEP_MISSING": Explanation(
        "A command about a step did not say which.",
        "Name the step: `assent resolve RUN STEP --happened`.",
    ),
    "ITERATION_FAILED": Explanation(
        "One iteration of a `foreach` step failed, or another step ended the run before their outputs were put together.",
        "Look at the iteration: `assent show RUN`.",
    ),
    "FOREACH_INVALID": Explanation(
        "`foreach` yielded something that is no list, or a list that is too long.",
        "Make it a list; `[limits] foreach_items` in `assent.toml` sets the bound.",
    ),
    "EFFECT_UNKNOWN": Explanation(
        "Nobody can tell whether a step's effect happened, and running it again could double it.",
        "Look at the world, then `assent resolve RUN STEP --happened` or `--not-happened`.",
    ),
    "EFFECT_ALIVE": Explanation(
        "A thread of the step still runs although its time was up: nothing is decided or taken back under a living effect.",
        "Wait for it to end or end the process, then `assent resume`.",
    ),
    "OUTPUT_UNKNOWN": Explanation(
        "A step's effect happened, but what it returned was lost with the process.",
        "Say it: `assent resolve RUN STEP --happened --output JSON`.",
    ),
    "CAPABILITY_CHANGED": Explanation(
        "The capability or its handler is another one than the one that the step was begun with.",
        "Install the version that ran and `assent resume`, or settle the step with `assent resolve`.",
    ),
    "COMPENSATION_FAILED": Explanation(
        "Taking a step back failed; its effect may still be there.",
        "Mend the cause and `assent resume`, or settle the step with `assent resolve`.",
    ),
    "APPROVAL_REJECTED": Explanation(
        "A person refused what was asked, so the run ended like one that policy denied.",
        "The reason is shown with the step; start again with what was asked for.",
    ),
    "APPROVAL_EXPIRED": Explanation(
        "Nobody decided in time, or what was granted was not used in time; that counts as a refusal.",
        "Run it again and approve it before it expires; the rule's `expires` sets the time.",
    ),
    "APPROVAL_STALE": Explanation(
        "What was approved is not what would run now: the inputs, the policy or the world changed.",
        "Look at the question again with `assent show RUN` and approve it with its new digest.",
    ),
    "APPROVAL_NOT_OPEN": Explanation(
        "Nothing of that kind waits for an approval.",
        "List what waits with `assent approvals`.",
    ),
    "APPROVAL_AMBIGUOUS": Explanation(
        "Several steps of the run wait for an approval.",
        "Name the step: `assent approve RUN STEP`.",
    ),
    "APPROVER_REFUSED": Explanation(
        "This principal may not decide: the wrong kind or role, the requester, or one who already did.",
        "Ask somebody whom the rule names; `assent approvals --diff` shows whom.",
    ),
    "RUN_UNKNOWN": Explanation(
        "There is no run of that id in this state directory.",
        "List the runs with `assent runs`.",
    ),
    "RUN_CANCELLED": Explanation(
        "Somebody cancelled the run, and what it had done was taken back.",
        "Start it again if it is still wanted.",
    ),
    "RUN_STOPPED": Explanation(
        "The run stopped before the question was answered, so the question is void.",
        "Nothing: the run's own error says why it stopped.",
    ),
    "RUN_PAUSED": Explanation(
        "The policy can't be read any more, so a run under way begins no further step. Nothing is lost.",
        "Mend the policy, then `assent resume RUN`.",
    ),
    "RUN_FINISHED": Explanation(
        "The run has ended already.",
        "Take a succeeded run back with `assent undo RUN`.",
    ),
    "RUN_UNFINISHED": Explanation(
        "The run is under way, and its data is still needed.",
        "End it first: `assent cancel RUN`.",
    ),
    "RUN_NOT_UNDOABLE": Explanation(
        "Only a run that succeeded can be undone.",
        "`assent show RUN` tells where it stands.",
    ),
    "UNDO_ERASED": Explanation(
        "The data that an undo needs was erased on request.",
        "Take the effects back by other means.",
    ),
    "PAYLOAD_ERASED": Explanation(
        "The data that this needs was erased from the journal on request.",
        "It cannot be brought back; run the work again.",
    ),
    "RESOLUTION_INVALID": Explanation(
        "The step is not in a state that this word could settle.",
        "The hint lists what is possible; `assent show RUN` tells what needs attention.",
    ),
    "SESSION_CLOSED": Explanation(
        "The session takes no more steps: it was closed or cancelled.",
        "Open a new session.",
    ),
    "PLAN_UNKNOWN": Explanation(
        "There is no saved plan of that id.",
        "Make one with `assent plan FILE`.",
    ),
    "PLAN_USED": Explanation(
        "A saved plan runs once, and this one did.",
        "Make a new one with `assent plan FILE`.",
    ),
    "PLAN_STALE": Explanation(
        "A saved plan would not do today what it showed.",
        "Look at a new plan: `assent plan FILE`.",
    ),
    "PLAN_EXPIRED": Explanation(
        "A saved plan was not run in time; it holds inputs, so it is not kept for ever.",
        "Look at a new plan with `assent plan FILE`; `plan_expiry` under `[limits]` sets the time.",
    ),
    "PLAN_INVALID": Explanation(
        "A saved plan's file can't be read.",
        "Make it again with `assent plan FILE`.",
    ),
    "RUNTIME_CLOSED": Explanation(
        "The runtime was used before it was opened or after it was closed.",
        "Use it inside `async with Runtime.open(…)`.",
    ),
    "PAYLOAD_TOO_LARGE": Explanation(
        "The inputs or the output of a step are larger than a payload of the journal may be.",
        "Hand on a path or a digest instead of the content, or raise `payload_bytes` under `[limits]` in `assent.toml`.",
    ),
    "ILLEGAL_TRANSITION": Explanation(
        "An event does not follow from those before it: a fault of Assent itself, or a damaged journal.",
        "Check the journal with `assent audit verify`, and report it if that finds nothing.",
    ),
    "REQUEST_INVALID": Explanation(
        "A request that reached the owner of the state directory names no operation it knows.",
        "Use the same version of Assent in every terminal.",
    ),
}
