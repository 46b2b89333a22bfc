"""Identifiers as distinct types, and the patterns they must match: one may not be passed for another.

Every pattern is printable ASCII, because ids stand in ledger leaves, whose profile allows nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final, NewType

from assent._lazy import compiled_when_asked

RunId = NewType("RunId", str)
PlanId = NewType("PlanId", str)
StepKey = NewType("StepKey", str)
"""A step's name, or `name[3]` for the fourth iteration of a `foreach`; `name[3][0]` is an iteration of that one."""


def plans_apart(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """What names runs, and what names plans, each in order."""
    runs, plans = list[str](), list[str]()
    for name in names:
        (plans if name.startswith("plan_") else runs).append(name)
    return runs, plans


NEWEST_RUN: Final = "@"
"""What stands for the newest run wherever one is named."""

CALL_STEP: Final = StepKey("call")
"""The name of the only step of a single call."""


def session_step(number: int) -> StepKey:
    """The name of a session's step, counted from 1."""
    return StepKey(f"step_{number}")


APPROVAL_CAPABILITY: Final = "assent.approval"
"""What an `approval` step asks for: no capability, only a person's word."""

UNDO_CAPABILITY: Final = "assent.undo"
"""What the gate is asked about when somebody wants a run undone; no capability has this id."""

KEY_CAPABILITY: Final = "assent.concurrency"
"""What the gate is asked about where a run wants a concurrency key."""


def key_question_name(*, cancels_others: bool) -> StepKey:
    """Where the gate is asked about steps, what stands for the question about a run's key, or about others' runs for it."""
    return StepKey("@concurrency:others" if cancels_others else "@concurrency")


SIGNAL_CAPABILITY: Final = "assent.signal"
"""What the gate is asked about when somebody sends a signal to a run; no capability has this id."""

ERASE_CAPABILITY: Final = "assent.erase"
"""The capability that erases what runs were given, gave and kept; whoever wants that calls it."""

_QUESTIONS: Final = frozenset({APPROVAL_CAPABILITY, UNDO_CAPABILITY, KEY_CAPABILITY, SIGNAL_CAPABILITY})


def administers(capability: str) -> bool:
    """Whether a capability changes Assent itself (keys, schedules, the record), which is not for agents.

    What the gate is merely asked about under such a name is none.
    """
    return capability.startswith("assent.") and capability not in _QUESTIONS


SCHEDULE_CAPABILITIES: Final = "assent.schedule."
"""What the capabilities that decide about schedules begin with: `add`, `remove`, `pause`, `resume`."""

AGENT_CAPABILITIES: Final = "agent."
"""What the capabilities begin with that stand for the own tools of agents: calling one does nothing."""

OF_SCHEDULES: Final = "schedule:"
"""What the ids of requests begin with that ticks of schedules make; nobody else may ask under such an id."""

RUN_CAPABILITY: Final = "workflow.run"
"""The capability by which a session runs a workflow as one of its steps."""

MARKS: Final = "assent/marks"
"""Where an output that came from strangers tells what was found in it; no tool of theirs may say it."""

WHOLE: Final = "assent/result"
"""Where an output of an MCP server's tool has what else its result held: content beside what is structured, `_meta`."""

OF_PROCESSES: Final = "process:"
"""What the ids of requests begin with that begin a session which ends with its process; the number that this claims follows."""

OF_CONNECTIONS: Final = "connection:"
"""The same of a session that ends with a connection to the owner, and so with the owner."""

OF_NAMED: Final = "mcp:"
"""The same of a session that its agent names, and that ends when nobody has called in it for some time."""

OF_STEPS: Final = "step:"
"""What the ids of requests begin with by which a step of a session begins a run; nobody else may ask under such an id."""

Commitment = NewType("Commitment", str)
"""64 hex digits that bind a payload without revealing it: SHA-256 over a salt and the payload's bytes."""

Fingerprint = NewType("Fingerprint", str)
"""64 hex digits: SHA-256 of a document's canonical JSON."""

SHORT_DIGEST: Final = 12
"""Hex digits of a digest that name it: 48 bits, and nobody can choose what it binds, which holds salts of ours."""

CAPABILITY_ID: Final = compiled_when_asked(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+\Z")
SEMVER: Final = compiled_when_asked(
    r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-[0-9A-Za-z][0-9A-Za-z.-]{0,63})?(\+[0-9A-Za-z.-]{1,64})?\Z"
)
NAME: Final = compiled_when_asked(r"[a-z][a-z0-9_]*\Z")
"""Step and input names: they appear in expressions, so they look like variables."""

OWN_REQUESTS: Final = "req_"
"""What the ids of requests begin with that nobody has chosen."""

LABEL: Final = compiled_when_asked(r"[A-Za-z0-9][A-Za-z0-9 ._/:@+-]{0,127}\Z")
"""Names of workflows, rules, roles and environments."""

PRINCIPAL_ID: Final = compiled_when_asked(r"[A-Za-z0-9][A-Za-z0-9._@+\-/]{0,127}\Z")

NAME_LENGTH_MAX: Final = 64


def request_of_step(run: str, step: str) -> str:
    """The request in which a step of a session begins a run: it has one, however often it is carried out."""
    return f"{OF_STEPS}{run}:{step}"


def step_of_request(request: str | None) -> tuple[RunId, StepKey] | None:
    """The session and its step that began a run in this request; None for a run that is no part of another."""
    if request is None or not request.startswith(OF_STEPS):
        return None
    run, _, step = request.removeprefix(OF_STEPS).partition(":")
    return RunId(run), StepKey(step)


def iteration_key(key: StepKey, index: int) -> StepKey:
    """The key of one iteration of a `foreach` step."""
    return StepKey(f"{key}[{index}]")


def iteration_of(key: StepKey) -> tuple[StepKey, int] | None:
    """The `foreach` step that a key is an iteration of, and which one it is; None for a step that is none."""
    if not key.endswith("]"):
        return None
    step, _, index = key[:-1].rpartition("[")
    return StepKey(step), int(index)


def name_of(key: StepKey) -> StepKey:
    """The name that a key has in its workflow: that of its `foreach` step, for an iteration."""
    return StepKey(key.partition("[")[0])


def approval_id(run: str, step: str, digest: str, asked_ms: int) -> str:
    """The name of one question to people. Another one about the same step has another, also where the same is asked again."""
    return f"apr_{sha256(f'{run} {step} {digest} {asked_ms}'.encode()).hexdigest()[:32]}"


def names_digest(given: str, digest: str) -> bool:
    """Whether a digest was given, or enough of its beginning."""
    return len(given) >= SHORT_DIGEST and digest.startswith(given)
