"""Asking the gate about one act: a step of the agent's session, and what is told of it. What came of it is another step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from assent.cli.hook._acts import Act, Came, End, name_of
from assent.errors import AssentError, InputError

Ask: TypeAlias = Callable[[dict[str, Any], "str | None"], dict[str, Any]]
"""Has a request of the service answered, under an id or none; `Any`: both as JSON. Raises what the service does."""

SESSIONS_MAX: Final = 64
"""So often an agent may go on with a session of its own after ours was closed."""

_ENDED: Final = frozenset({"SESSION_CLOSED", "RUN_UNKNOWN"})


class Answer(NamedTuple):
    """What the agent's program is told."""

    decision: str
    """`allow`, `deny`, `ask` its user, or `none`: permitted, and the program goes on as if nobody had been asked."""
    reason: str
    code: str | None = None
    rule: str | None = None
    risk_level: str | None = None
    run: str | None = None
    step: str | None = None


def add(act: Act, principal: str, ask: Ask) -> dict[str, Any]:
    """The act as a step of the agent's session, with its outcome, or as it waits for a person: a run with this step alone."""
    return _add(act.session, act.capability, act.parameters, act.ident(principal), by=principal, ask=ask)


def note(came: Came, principal: str, ask: Ask) -> tuple[str, str]:
    """What came of a call, on record once: the run and the step that tell of it.

    `REQUEST_REUSED` for another outcome than was told first.
    """
    # The id under which the call was asked about leads to the step that permitted it; nobody need look for that now.
    asked, told = (name_of(principal, came.session, what, came.call) for what in ("call", "outcome"))
    said = {**came.parameters, "request": asked}
    run = _add(came.session, "agent.outcome", said, told, by=principal, ask=ask)
    (step,) = run["steps"]
    if step["status"] == "awaiting_approval":  # a policy that asks about whatever it does not know
        reason = "it has come to pass: there is nothing to decide"
        ask({"op": "reject", "run": run["run_id"], "step": step["name"], "reason": reason}, None)
    return run["run_id"], step["name"]


def _add(
    session: str, capability: str, parameters: dict[str, Any], ident: str | None, *, by: str, ask: Ask
) -> dict[str, Any]:
    for number in range(SESSIONS_MAX):
        run = _session(session, number, by, ask)
        step = {"op": "add_step", "run": run, "capability": capability, "parameters": parameters}
        try:
            return ask(step, ident)
        except AssentError as error:
            if error.code not in _ENDED:
                raise
    raise InputError(
        "SESSION_CLOSED", f"this session was closed {SESSIONS_MAX} times", hint="begin a new one"
    )


def close(end: End, principal: str, ask: Ask) -> str | None:
    """The run of the agent's session, which takes no more steps; None where all were closed. What was done stays on record."""
    for number in range(SESSIONS_MAX):
        run = _session(end.session, number, principal, ask)
        if ask({"op": "close", "run": run}, None)["status"] in ("succeeded", "waiting", "running"):
            return run
    return None


def _session(session: str, number: int, principal: str, ask: Ask) -> str:
    run: str = ask({"op": "session"}, name_of(principal, session, "session", str(number)))["run_id"]
    return run


def told_of(run: dict[str, Any]) -> Answer:
    """What is told of a step that nobody is asked about any more: it was permitted, or why it was not."""
    (step,) = run["steps"]
    place = {
        "rule": step["rule"],
        "risk_level": step["risk_level"],
        "run": run["run_id"],
        "step": step["name"],
    }
    if step["status"] == "succeeded":
        return Answer("allow", f"permitted by rule {step['rule']}", **place)
    fault = (
        step.get("error")
        or run["error"]
        or {"code": "STEP_INTERRUPTED", "message": f"it is {step['status']}"}
    )
    return Answer("deny", _reason(fault, **place), fault["code"], **place)


def refused(error: AssentError) -> Answer:
    """What is told of an act that never became a step."""
    return Answer("deny", _reason(error.to_dict()), error.code)


def _reason(
    fault: dict[str, Any],
    rule: str | None = None,
    run: str | None = None,
    step: str | None = None,
    **_: object,
) -> str:
    """A refusal that an agent can use: what and why, by which rule, what would be allowed, and where a person finds it."""
    lines = [f"{fault['message']} [{fault['code']}]"]
    lines += [f"rule: {rule}"] if rule else []
    lines += [f"help: {fault['hint']}"] if fault.get("hint") else []
    lines += [f"on record: assent show {run} (step {step})"] if run else []
    return "\n".join(lines)
