"""The shape of a workflow file: its JSON Schema, which is also the reference of its keys."""

from __future__ import annotations

import re
from typing import Final

from assent.errors import Json
from assent.spec.decision import APPROVERS_MAX
from assent.spec.ids import LABEL, NAME, NAME_LENGTH_MAX, SEMVER
from assent.spec.principal import PrincipalKind
from assent.spec.risk import RiskLevel
from assent.spec.schemas.written import (
    ANYTHING,
    DURATION,
    choice,
    document,
    flag,
    key,
    listed,
    mapping,
    number,
    one_or_more,
    part,
    text,
)
from assent.spec.states import OnBusy
from assent.spec.workflow._step_fields import ATTEMPTS_MAX, ERROR_CODE
from assent.spec.workflow._steps import KEY_LENGTH_MAX, KEY_NAMES, KEY_RUNS_MAX, Backoff
from assent.spec.workflow.inputs import SCHEMA_KEYS, TYPE_NAMES

_BACKOFF: Final = Backoff()
_MAPPING: Final[dict[str, Json]] = {"title": "a mapping", "type": "object"}
_NAME: Final = text(NAME, "a name: `a` to `z`, digits, `_`", longest=NAME_LENGTH_MAX)
_CAPABILITY: Final = text(None, "a capability: `id` or `id@version`")
_EXPRESSION: Final[dict[str, Json]] = {
    "title": "a CEL expression, without `${{ }}`",
    "type": ["string", "boolean"],
}

APPROVERS: Final = mapping(
    "Who must agree before a step may go on.",
    {
        "roles": key(
            one_or_more(text(LABEL), "a role, or a list"),
            "any one of these roles is enough; left out: any role",
        ),
        "count": key(number(1, APPROVERS_MAX), "how many different principals must agree", 1),
        "not_requester": key(flag(), "whoever asked may not be one of them", default=False),
        "expires": key(
            DURATION,
            "bounds deciding and using; after it the step is rejected. Left out: never; at most 366 days",
        ),
        "kinds": key(one_or_more(choice(*PrincipalKind), "kinds of principals"), "who may decide", "user"),
    },
)
"""Approvers, as workflows and policies name them."""


def workflow_schema() -> dict[str, Json]:
    """The JSON Schema (2020-12) of a workflow file."""
    references = "may hold `${{ … }}`"
    own = {
        "name": key(text(LABEL), "what the workflow is called in plans, policies and the record"),
        "version": key(text(SEMVER, "a semantic version, in quotes"), "its version", "1.0.0"),
        "description": key(text(), "what it does, in a sentence"),
        "inputs": key(
            {
                "title": "inputs by name",
                "type": "object",
                "propertyNames": _NAME,
                "additionalProperties": _declaration(),
            },
            "what the workflow is given: `NAME: TYPE`, or a mapping with the keys of an input",
        ),
        "steps": key(
            listed(part("step"), "a list of steps"),
            "what it does, in order unless `depends_on` says otherwise",
        ),
        "finally": key(
            listed(part("step"), "a list of steps"),
            "what it does at last, however those steps end; these may read `run`. The outermost workflow only",
        ),
        "outputs": key(_MAPPING, f"what the run gives back, by name; {references}"),
        "metadata": key(part("metadata"), "who answers for it"),
        "environment": key(
            text(LABEL), "the environment that it is written for, to which policies may refer"
        ),
        "max_duration": key(
            DURATION,
            "how long a run may take, waiting included; then it is stopped and taken back. Left out: any; at most 366 days",
        ),
        "concurrency": key(
            {
                "title": "a key, or the keys of concurrency",
                "anyOf": [{"type": "string"}, part("concurrency")],
            },
            "how many runs with one key are under way at once",
        ),
    }
    step = {
        "name": key(_NAME, "what it is called; only a `parallel` group may go without"),
        "description": key(text(), "what it is for"),
        "capability": key(_CAPABILITY, "calls a capability"),
        "approval": key(
            {"title": "a reason, or the keys of approval", "anyOf": [{"type": "string"}, part("approval")]},
            "asks a person, and does nothing else",
        ),
        "wait": key(
            {"title": "a time, like `30s`, or the keys of wait", "anyOf": [DURATION, part("wait")]},
            "lets time pass, or waits for a signal, and does nothing else",
        ),
        "parallel": key(listed(part("step"), "a list of steps"), "runs these at the same time"),
        "workflow": key(
            {
                "title": "the path of a file, or a workflow in place",
                "anyOf": [{"type": "string"}, part("workflow")],
            },
            "takes in another workflow; a path starts at this file's folder and stays below it",
        ),
        "inputs": key(_MAPPING, f"what the capability or the inner workflow is given; {references}"),
        "depends_on": key(
            {
                "title": "a step's name, or a list",
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            },
            "what it waits for. Left out: the step before it, which in `finally` may have failed; `[]`: nothing",
        ),
        "when": key(_EXPRESSION, "skips the step where it is false; the output of a skipped step is null"),
        "foreach": key(
            {"title": "a list, or `${{ … }}` that gives one", "type": ["array", "string"]},
            "runs the step once for each; `inputs` may use `item` and `index`, and its output is the list of outputs",
        ),
        "retry": key(
            part("retry"), "tries again after an error; what may have happened already is looked into first"
        ),
        "timeout": key(DURATION, "bounds one attempt, while the handler runs"),
        "compensation": key(
            {
                "title": "a capability, or the keys of compensation",
                "anyOf": [_CAPABILITY, part("compensation")],
            },
            "what takes the step back instead of the capability's own way",
        ),
        "risk_level": key(choice(*RiskLevel), "raises the risk of the capability; it can't be lowered"),
        "undo": key(choice("none"), "keeps nothing to undo with, which makes the step CRITICAL"),
    }
    parts: dict[str, Json] = {
        "workflow": mapping("The file.", own, "name", "steps"),
        "input": _input(),
        "step": mapping(
            "One step: exactly one of `capability`, `approval`, `wait`, `parallel` and `workflow`.", step
        )
        | {
            "oneOf": [
                {"required": [kind]} for kind in ("capability", "approval", "wait", "parallel", "workflow")
            ]
        },
        "approval": mapping(
            "A question to a person.",
            {
                "reason": key(text(), "what the person decides about"),
                "approvers": key(part("approvers"), "who may answer"),
            },
            "reason",
        ),
        "approvers": APPROVERS,
        "wait": mapping(
            "What a step waits for: exactly one of `for`, `until` and `signal`.",
            {
                "for": key(DURATION, f"how long it waits; {references}. At most 366 days"),
                "until": key(
                    text(title="a moment, like `2026-12-01T08:00:00+01:00`"), f"when it goes on; {references}"
                ),
                "signal": key(_NAME, "what has to be sent to the run: `assent signal RUN NAME`"),
                "timeout": key(
                    DURATION,
                    "bounds the waiting for a signal; after it the step fails. Left out: never; at most 366 days",
                ),
            },
        ),
        "retry": mapping(
            "How often a step is tried, and when.",
            {
                "max_attempts": key(number(1, ATTEMPTS_MAX), "how often in all", 3),
                "backoff": key(part("backoff"), "the pauses between attempts"),
                "on": key(
                    one_or_more(text(ERROR_CODE), "an error code, or a list"),
                    "only after these errors; left out: any",
                ),
            },
        ),
        "backoff": mapping(
            "Pauses: `initial · factor^n`, at most `max`.",
            {
                "initial": key(DURATION, "the first pause", f"{_BACKOFF.initial_ms}ms"),
                "factor": key(
                    number(1, 100, whole=False), "how much longer each next one is", _BACKOFF.factor
                ),
                "max": key(DURATION, "the longest", f"{_BACKOFF.max_ms // 1000}s"),
                "jitter": key(number(0, 1, whole=False), "the share that is left to chance", _BACKOFF.jitter),
            },
        ),
        "compensation": mapping(
            "The call that takes a step back.",
            {
                "capability": key(_CAPABILITY, "what is called; its own effect must be reversible"),
                "inputs": key(_MAPPING, f"what it is given; {references}, also over the step's own output"),
            },
            "capability",
        ),
        "concurrency": mapping(
            "Which runs are not under way at once.",
            {
                "key": key(
                    text(),
                    "runs of any workflow that come to the same text share it; may hold `${{ … }}` over `inputs`, "
                    f"`{'`, `'.join(KEY_NAMES)}`. 1 to {KEY_LENGTH_MAX} characters",
                ),
                "limit": key(number(1, KEY_RUNS_MAX), "how many runs may have it at once", 1),
                "on_busy": key(
                    choice(*OnBusy),
                    "what a run does that does not get it: `queue` waits for its turn, `refuse` does not begin, "
                    "`cancel_waiting` cancels those that wait, `cancel_running` also those that have it, and waits",
                    "queue",
                ),
            },
            "key",
        ),
        "metadata": mapping(
            "Who answers for a workflow, and what it is filed under.",
            {
                "owner": key(text(), "a person or a team"),
                "tags": key(one_or_more(text(), "a word, or a list"), "words to find it by"),
            },
        ),
    }
    return document("workflow:1", "Assent workflow", "workflow", parts)


def _declaration() -> dict[str, Json]:
    return {"anyOf": [{"enum": list(TYPE_NAMES)}, part("input")]}


def _input() -> dict[str, Json]:
    own = {
        "type": key(
            {"title": f"one of {', '.join(f'`{name}`' for name in TYPE_NAMES)}", "type": ["string", "array"]},
            "its type",
        ),
        "description": key(text(), "what it is for"),
        "default": key(ANYTHING, "what it is where nobody gives it; it may then be left out"),
        "required": key(
            {"title": "`true` or `false`", "type": ["boolean", "array"]},
            "`false`: it is null where nobody gives it. A list is JSON Schema's own, for objects",
        ),
        "enum": key(listed(ANYTHING, "a list"), "the values that it may have"),
    }
    rest = dict.fromkeys(SCHEMA_KEYS, ANYTHING)
    described = mapping(
        "One declared input. Beside these keys it takes those of JSON Schema, but for references.", own
    )
    return described | {
        "additionalProperties": False,
        "patternProperties": {f"^({'|'.join(map(re.escape, rest))})$": ANYTHING},
    }
