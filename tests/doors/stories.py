"""The stories that every door has to tell alike. What is by design another way at some of them is said at the step, and why."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, Final

from tests.doors.story import JOIN, RESTART, Said, Step, Story

WIRES: Final = frozenset({"http", "https", "socket", "pipe"})
"""Where everything is said by name; programs have methods."""
CLIENTS: Final = frozenset({"client", "sync client"})

TEXT: Final = "hello\n"


def story(name: str, *steps: Step, **how: Any) -> Story:
    return Story(name=name, steps=steps, **how)


def ask(op: str, said: Said | None = None, **how: Any) -> Step:
    return Step(op=op, said=said or {}, **how)


def call(capability: str, parameters: Said, status: str | None = "succeeded", **how: Any) -> Step:
    if "code" in how:
        status = None
    return ask("call", {"capability": capability, "parameters": parameters}, status=status, **how)


def write(path: str = "a.txt", content: str = TEXT, **how: Any) -> Step:
    return call("io.fs.write_file", {"path": path, "content": content}, **how)


def delete(path: str = "a.txt", status: str | None = "waiting", **how: Any) -> Step:
    return call("io.fs.delete", {"path": path}, status, **how)


def noop(**how: Any) -> Step:
    return call("sys.noop", {}, **how)


def of_run(
    op: str, status: str | None = None, run: str = "@run", said: Said | None = None, **how: Any
) -> Step:
    return ask(op, {"run": run, **(said or {})}, status=status, **how)


def key(name: str, *scopes: str, principal: str | None = None, **said: Any) -> Step:
    """A key of the story's."""
    said |= {"principal": principal} if principal else {}
    return ask("create_key", {"name": name, "scopes": [*scopes], **said}, status="succeeded")


def run(workflow: Said, status: str | None = "succeeded", inputs: Said | None = None, **how: Any) -> Step:
    said = {"workflow": workflow} if inputs is None else {"workflow": workflow, "inputs": inputs}
    if "code" in how:
        status = None
    return ask("run", said, status=status, **how)


def flow(*steps: Said, **more: Any) -> dict[str, Any]:
    return {"name": "flow", "steps": [*steps], **more}


def put(name: str, path: str, content: str = TEXT, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "capability": "io.fs.write_file",
        "inputs": {"path": path, "content": content},
        **more,
    }


def wait_for(name: str = "go", **more: Any) -> dict[str, Any]:
    return {"name": "pause", "wait": {"signal": name, **more}}


ASKED: Final = of_run("approvals", keep={"digest": "0.digest", "step": "0.step"}, gives={"#": 1})
"""What waits is looked at, and its digest kept."""

APPROVED: Final = of_run("approve", "succeeded", said={"digest": "@digest"})

TWO: Final = """
  - id: two
    when: {operation_type: DELETE}
    decision: REQUIRE_APPROVAL
    reason: two people have to look
    approvers: {roles: [release], count: 2, not_requester: true}
"""
SOON: Final = """
  - id: soon
    when: {operation_type: DELETE}
    decision: REQUIRE_APPROVAL
    reason: quickly
    approvers: {expires: 1ms}
"""

AUTH = (
    story("nonsense is nobody", ask("runs", by="nonsense", code="NOT_IDENTIFIED"), counts=True),
    story(
        "a key of the right shape that nobody made is nobody",
        ask("runs", by=f"ak_{'a' * 16}_{'b' * 52}", code="NOT_IDENTIFIED"),
        counts=True,
    ),
    story(
        "a key acts as its principal, within its scopes",
        key("robot", "call", "read"),
        write(by="robot"),
        of_run("show", "succeeded", by="robot", keep={"who": "events.0.event.identified_by"}),
        of_run("undo", by="robot", code="SCOPE_MISSING"),
        of_run("approve", by="robot", said={"unseen": True}, code="SCOPE_MISSING"),
        ask("keys", by="robot", gives={"#": 2}),
        of_run("undo", "undone"),
        counts=True,
    ),
    story(
        "a key without `read` is told of no run",
        key("writer", "call"),
        write(by="writer"),
        of_run("show", by="writer", code="SCOPE_MISSING"),
        of_run("events", by="writer", code="SCOPE_MISSING"),
        ask("audit_log", by="writer", code="SCOPE_MISSING"),
    ),
    story(
        "a key that was revoked is nobody",
        key("robot", "read"),
        ask("runs", by="robot"),
        ask("revoke_key", {"id": "@robot.id"}, status="succeeded"),
        ask("runs", by="robot", code="NOT_IDENTIFIED"),
        ask("keys", gives={"1.status": "revoked"}),
        counts=True,
    ),
    story(
        "a key that has expired is nobody",
        key("robot", "read", expires_in_ms=1000),
        ask("keys", until=True, gives={"1.status": "expired"}),
        ask("runs", by="robot", code="NOT_IDENTIFIED"),
        counts=True,
    ),
    story(
        "a key for somebody else acts as that one",
        key("anns", "call", "read", principal="user:ann"),
        write(by="anns"),
        of_run("show", gives={"events.0.event.principal": "user:ann"}),
    ),
    story(
        "a key that there is not can't be revoked",
        ask("revoke_key", {"id": f"ak_{'a' * 16}"}, status="failed"),
    ),
    story(
        "making a key that opens is taken back with its run",
        key("robot", "read"),
        of_run("undo", "undone"),
        ask("runs", by="robot", code="NOT_IDENTIFIED"),
        counts=True,
    ),
    story(
        "a session is whose it was begun",
        key("anns", "call", "read", principal="user:ann"),
        ask("session", by="anns", keep={"session": "run_id"}),
        key("bobs", "call", "read", principal="user:bob"),
        of_run(
            "add_step", run="@session", by="bobs", said={"capability": "sys.noop"}, code="IDENTITY_REFUSED"
        ),
        of_run("add_step", run="@session", by="anns", said={"capability": "sys.noop"}),
        of_run("close", "succeeded", run="@session", by="anns"),
    ),
)

LONG: Final = "x" * 2000
DEEP: Final = json.loads("[" * 200 + "]" * 200)

LIMITS = (
    story(
        "what is too long is not read, and the next is",
        write(content=LONG, code="BODY_TOO_LARGE", only=WIRES - {"pipe"} | CLIENTS),
        write(content=LONG, code="FRAME_TOO_LARGE", only=frozenset({"pipe"})),
        write(),
        settings="[serve]\nbody_bytes = 1024\n",
    ),
    story("what is nested too deeply", call("sys.noop", {"deep": DEEP}, code="JSON_INVALID", is_code=True)),
    story(
        "an id of a request is one of a program, too",
        noop(key="two words"),
        noop(key="x" * 300, code="REQUEST_INVALID", is_code=True),
        runs=1,
    ),
)

ERRORS = (
    story("an unknown capability", call("io.fs.wirte_file", {}, code="CAPABILITY_UNKNOWN")),
    story("a version that there is not", noop(version="9.9.9", code="VERSION_NOT_FOUND")),
    story("what is no version", noop(version="x.y.z", code="INVALID_VERSION")),
    story("wrong parameters", call("io.fs.read_file", {"path": 5}, code="INVALID_INPUT", is_failed_run=True)),
    story(
        "parameters that are missing", call("io.fs.read_file", {}, code="INVALID_INPUT", is_failed_run=True)
    ),
    story(
        "parameters that there are not",
        call("sys.noop", {"more": 1}, code="INVALID_INPUT", is_failed_run=True),
    ),
    story(
        "what the policy denies is a run",
        write("private/a.txt", status="failed", gives={"error.code": "POLICY_DENIED"}),
    ),
    story(
        "what the world refuses is a run that failed", call("io.fs.read_file", {"path": "none.txt"}, "failed")
    ),
    story(
        "a run that there is not",
        *(
            of_run(op, run="run_none", code="RUN_UNKNOWN")
            for op in ("show", "cancel", "undo", "resume", "events")
        ),
    ),
    story(
        "the beginning of an id is enough where it is one run's",
        noop(),
        ask("show", {"run": "@"}, status="succeeded"),
        ask("show", {"run": "run_"}, status="succeeded"),
        counts=True,
    ),
    story(
        "the beginning of two ids names neither",
        noop(),
        noop(),
        ask("show", {"run": "run_"}, code="RUN_AMBIGUOUS"),
        counts=True,
    ),
    story("a step that there is not", noop(), of_run("show", said={"step": "other"}, code="STEP_UNKNOWN")),
    story("a workflow that is none", run({"name": "x"}, code="MISSING_KEY")),
    story(
        "a workflow with inputs that don't fit",
        run(
            flow(put("a", "a.txt"), inputs={"n": {"type": "integer"}}),
            inputs={"n": "x"},
            code="INVALID_INPUT",
        ),
    ),
    story("a plan that there is not", ask("run", {"plan": "plan_none"}, code="PLAN_UNKNOWN")),
    story(
        "a text with line ends of its own",
        write("private/\u2028a\x85b.txt", status="failed"),
        of_run("events"),
        ask("audit_log"),
        counts=True,
    ),
)

APPROVAL = (
    story(
        "what waits is approved by what was shown",
        write(),
        delete(),
        ASKED,
        APPROVED,
        of_run("approvals", gives={"#": 0}),
    ),
    story(
        "an approval that names its step",
        write(),
        delete(),
        ASKED,
        of_run("approve", "succeeded", said={"step": "@step", "digest": "@digest"}),
    ),
    story(
        "an approval of nothing that was shown says so",
        write(),
        delete(),
        of_run("approve", "succeeded", said={"unseen": True}),
    ),
    story(
        "an approval must say what was shown",
        write(),
        delete(),
        # A program that names no digest says with that that it saw none.
        of_run("approve", code="DIGEST_REQUIRED", only=WIRES),
        of_run("approve", said={"digest": "0" * 64, "unseen": True}, code="INVALID_INPUT", only=WIRES),
    ),
    story(
        "another digest than what was shown",
        write(),
        delete(),
        of_run("approve", said={"digest": "0" * 64}, code="APPROVAL_STALE"),
    ),
    story(
        "a question is answered once",
        write(),
        delete(),
        ASKED,
        APPROVED,
        of_run("approve", said={"digest": "@digest"}, code="APPROVAL_NOT_OPEN"),
    ),
    story(
        "nothing is asked about a run that ended",
        noop(),
        of_run("approve", said={"unseen": True}, code="APPROVAL_NOT_OPEN"),
        of_run("reject", code="APPROVAL_NOT_OPEN"),
    ),
    story(
        "a rejection ends the run",
        write(),
        delete(),
        of_run("reject", said={"reason": "not today"}, gives={"error.code": "APPROVAL_REJECTED"}),
    ),
    story(
        "two of a workflow's steps wait, and one is named",
        run(
            flow(
                {"name": "one", "approval": {"reason": "one?"}, "depends_on": []},
                {"name": "two", "approval": {"reason": "two?"}, "depends_on": []},
            ),
            "waiting",
        ),
        of_run("approve", said={"unseen": True}, code="APPROVAL_AMBIGUOUS"),
        of_run("approve", "waiting", said={"unseen": True, "step": "two"}),
        of_run("approve", "succeeded", said={"unseen": True, "step": "one"}),
    ),
    story(
        "two people have to agree, and not who asked",
        key("anns", "approve", "read", principal="user:ann"),
        key("bobs", "approve", "read", principal="user:bob"),
        key("eves", "approve", "read", principal="user:eve"),
        write(),
        delete(),
        ASKED,
        of_run("approve", said={"digest": "@digest"}, code="APPROVER_REFUSED"),
        of_run("approve", by="eves", said={"digest": "@digest"}, code="APPROVER_REFUSED"),
        of_run("approve", "waiting", by="anns", said={"digest": "@digest"}),
        of_run("approve", by="anns", said={"digest": "@digest"}, code="APPROVER_REFUSED"),
        of_run("approve", "succeeded", by="bobs", said={"digest": "@digest"}),
        rules=TWO,
    ),
    story(
        "time to decide runs out",
        write(),
        delete(status=None),
        of_run("show", "failed", until=True),
        rules=SOON,
    ),
    story("a question outlives its owner", write(), delete(), ASKED, ask(RESTART), APPROVED),
    story(
        "what became of questions",
        write(),
        delete(),
        ASKED,
        APPROVED,
        ask("audit_approvals", gives={"*.decision": ["granted"], "0.confirmed": True}),
        counts=True,
    ),
)

CANCEL_AND_UNDO = (
    story(
        "a run that waits is cancelled",
        run(flow(put("a", "a.txt"), wait_for()), "waiting"),
        of_run("cancel", "cancelled"),
        of_run("cancel", code="RUN_FINISHED"),
    ),
    story(
        "a run at work is cancelled",
        call("sys.sleep", {"seconds": 60}, status=None, late="nap"),
        ask("runs", until=True, gives={"*.status": ["running"]}, keep={"run": "0.run_id"}),
        of_run("cancel", "cancelled"),
        ask(JOIN, late="nap", status="cancelled"),
        counts=True,
    ),
    story(
        "a run is taken back once", write(), of_run("undo", "undone"), of_run("undo", code="RUN_NOT_UNDOABLE")
    ),
    story(
        "what an undo would do",
        write(),
        of_run("plan_undo", gives={"possible": True, "steps.0.name": "call"}),
        of_run("undo", "undone"),
    ),
    story(
        "nobody else's change is overwritten",
        write(keep={"mine": "run_id"}),
        write(content="other\n"),
        of_run("plan_undo", run="@mine", gives={"possible": False}),
        of_run("undo", run="@mine", code="COMPENSATION_CONFLICT"),
    ),
    story("what can't be taken back", noop(), of_run("undo", "undone")),
    story(
        "a run that goes on is not taken back",
        run(flow(wait_for()), "waiting"),
        of_run("undo", code="RUN_NOT_UNDOABLE"),
    ),
    story(
        "an undo that is denied",
        write("b.txt"),
        of_run("undo", code="POLICY_DENIED"),
        rules="""
  - id: for-good
    when: {capability: assent.undo}
    decision: DENY
    reason: it stays
""",
    ),
    story(
        "a workflow that fails is rolled back",
        run(
            flow(
                put("a", "a.txt"), {"name": "b", "capability": "io.fs.read_file", "inputs": {"path": "none"}}
            ),
            "rolled_back",
        ),
        of_run("events"),
    ),
)

WAITING = (
    story(
        "a signal goes on with a run",
        run(flow(wait_for(), put("a", "a.txt")), "waiting"),
        of_run("signal", "succeeded", said={"name": "go", "payload": {"n": 1}}),
    ),
    story(
        "a signal that nobody waits for",
        run(flow(wait_for()), "waiting"),
        of_run("signal", said={"name": "other"}, code="SIGNAL_UNKNOWN"),
    ),
    story(
        "a run that ended takes no signal", noop(), of_run("signal", said={"name": "go"}, code="RUN_FINISHED")
    ),
    story(
        "a run waits beyond its owner",
        run(flow(wait_for(), put("a", "a.txt")), "waiting"),
        ask(RESTART),
        of_run("show", "waiting"),
        of_run("signal", "succeeded", said={"name": "go"}),
    ),
    story("what has ended is not resumed", noop(), of_run("resume", gives={"0.status": "succeeded"})),
    story("nothing is unfinished", noop(), ask("resume", gives={"#": 0}), ask("unfinished"), counts=True),
    story(
        "what is settled is not resolved",
        noop(),
        of_run("resolve", said={"step": "call", "resolution": "abandon"}, code="RESOLUTION_INVALID"),
    ),
    story(
        "a session's steps come one at a time",
        ask("session", keep={"session": "run_id"}),
        of_run(
            "add_step",
            run="@session",
            said={"capability": "io.fs.write_file", "parameters": {"path": "a.txt", "content": TEXT}},
        ),
        of_run(
            "add_step", run="@session", said={"capability": "io.fs.read_file", "parameters": {"path": "none"}}
        ),
        of_run("cancel", run="@session", said={"last": True}, gives={"steps.0.status": "compensated"}),
        of_run("cancel", run="@session", said={"last": True}, code="RUN_NOT_UNDOABLE"),
        of_run("close", "succeeded", run="@session"),
        of_run("add_step", run="@session", said={"capability": "sys.noop"}, code="SESSION_CLOSED"),
        of_run("undo", "undone", run="@session"),
    ),
    story(
        "a run is no session",
        noop(),
        of_run("add_step", said={"capability": "sys.noop"}, code="NOT_A_SESSION"),
        of_run("cancel", said={"last": True}, code="NOT_A_SESSION"),
        ask(
            "call", {"capability": "workflow.run", "parameters": {"plan": "plan_none"}}, code="NOT_A_SESSION"
        ),
    ),
)

STREAMS = (
    story("events of a run that ended", write(), of_run("events", keep={"first": "0.n"})),
    story(
        "events go on behind the last that came",
        write(),
        of_run("events", said={"last": 1}, gives={"0.n": 2}),
    ),
    story("events from a number on", write(), of_run("events", said={"since": 3}, gives={"0.n": 3})),
    story("events beyond the last are none", write(), of_run("events", said={"since": 99}, gives={"#": 0})),
    story(
        "who listens to a run that waits leaves when they like",
        run(flow(wait_for()), "waiting"),
        of_run("events", most=2, gives={"#": 2}),
        of_run("cancel", "cancelled"),
    ),
    story(
        "events of a run that goes on meanwhile",
        run(flow(wait_for(), put("a", "a.txt")), "waiting"),
        of_run("events", late="watch"),
        of_run("signal", "succeeded", said={"name": "go"}),
        ask(JOIN, late="watch"),
    ),
    story(
        "events that can't be asked for", noop(), of_run("events", said={"since": -1}, code="INVALID_INPUT")
    ),
    story(
        "the ledger, entry by entry",
        write(),
        ask("audit_log"),
        ask("audit_log", {"limit": 1}, gives={"#": 1}),
        ask("audit_log", {"capability": "io.fs.*"}),
        of_run("audit_log", said={"kinds": ["run.created"]}, gives={"*.kind": ["run.created"]}),
        counts=True,
    ),
    story(
        "who follows the ledger leaves when they like",
        write(),
        ask("audit_log", {"follow": True}, most=2, gives={"#": 2}),
    ),
)

RECORD = (
    story(
        "runs by pages",
        *[noop() for _ in range(3)],
        ask("runs", {"limit": 2}, gives={"#": 2}, keep={"oldest": "0.run_id"}),
        ask("runs", {"limit": 2, "before": "@oldest"}, gives={"#": 1}),
        counts=True,
    ),
    story(
        "runs by how they stand",
        noop(),
        write("private/a", status="failed"),
        ask("runs", {"status": ["failed"]}, gives={"*.status": ["failed"]}),
        ask("runs", {"status": ["failed", "succeeded"]}, gives={"#": 2}),
        ask("runs", {"status": ["gone"]}, code="INVALID_INPUT"),
        ask("runs", {"limit": 0}, code="INVALID_INPUT"),
        counts=True,
    ),
    story(
        "a proof is checked by whoever has the key",
        write(),
        ask("public_key", keep={"pub": "key"}),
        ask("verify", gives={"ok": True}),
        ask("checkpoint"),
        ask("prove", {"seq": 0}, keep={"shown": "proof"}),
        ask("verify_proof", {"proof": "@shown", "key": "@pub"}),
        ask("verify_proof", {"proof": "none", "key": "@pub"}, code="PROOF_MALFORMED"),
        ask("prove", {"seq": 10_000}, code="ENTRY_UNKNOWN"),
        call("knowledge.index", {}),
        call("knowledge.prove", {"chunk": "a.txt::0"}, keep={"way": "outputs"}),
        ask(
            "prove_knowledge",
            {"repository": "workspace", "manifest": "@way"},
            gives={"kind": "knowledge", "manifest.path": "a.txt"},
        ),
        ask(
            "prove_knowledge",
            {"repository": "none", "manifest": "@way"},
            code="KNOWLEDGE_ROOT_UNRECORDED",
        ),
        counts=True,
    ),
    story(
        "tiles of the ledger",
        write(),
        ask("checkpoint"),
        ask("tile", {"place": "9/9"}, code="TILE_UNKNOWN"),
        counts=True,
    ),
    story("a snapshot runs again", write(), of_run("replay", gives={"equal": True}), of_run("snapshot")),
    story("why the gate answered", write("private/a", status="failed"), of_run("explain_decisions")),
    story(
        "what is erased is gone",
        write(),
        ask("erase", {"runs": ["@run"]}, status="waiting"),
        ask("prunable", {"before_ms": 0}),
        counts=True,
    ),
    story(
        "bytes beside an output that there are not",
        noop(),
        of_run("attachment", said={"digest": "abcdef"}, code="ATTACHMENT_UNKNOWN"),
    ),
)

ONCE = (
    story(
        "the same under one key happens once",
        write(key="k", keep={"first": "run_id"}),
        write(key="k", gives={"run_id": "@first"}),
        runs=1,
    ),
    story(
        "something else under one key",
        write(key="k"),
        write(content="other", key="k", code="REQUEST_REUSED"),
        ask("resume", key="k", code="REQUEST_REUSED"),
        runs=1,
    ),
    story(
        "a key outlives its owner",
        write(key="k", keep={"first": "run_id"}),
        ask(RESTART),
        write(key="k", gives={"run_id": "@first"}),
        write("b.txt", key="k", code="REQUEST_REUSED"),
    ),
    story(
        "a run under a key",
        run(flow(put("a", "a.txt")), key="k", keep={"first": "run_id"}),
        run(flow(put("a", "a.txt")), key="k", gives={"run_id": "@first"}),
        run(flow(put("b", "b.txt")), key="k", code="REQUEST_REUSED"),
    ),
    story(
        "an approval under a key",
        write(),
        delete(),
        ASKED,
        of_run("approve", "succeeded", said={"digest": "@digest"}, key="k"),
        of_run("approve", "succeeded", said={"digest": "@digest"}, key="k"),
    ),
    story(
        "a signal under a key",
        run(flow(wait_for(), {"name": "more", "wait": {"signal": "go"}}), "waiting"),
        of_run("signal", "waiting", said={"name": "go"}, key="k"),
        of_run("signal", "waiting", said={"name": "go"}, key="k"),
        of_run("signal", said={"name": "go", "payload": 2}, key="k", code="REQUEST_REUSED"),
    ),
    story(
        "one key of two people is two",
        key("anns", "call", principal="user:ann"),
        key("bobs", "call", principal="user:bob"),
        write("1.txt", by="anns", key="k"),
        write("2.txt", by="bobs", key="k"),
        runs=4,
        counts=True,
    ),
)

SECRETS: Final[dict[str, Said]] = {"rotate_secret": {"value": "x"}, "confirm_secret": {}, "undo_secret": {}}
NIGHTLY: Final = {"name": "nightly", "workflow": flow(put("a", "a.txt")), "cron": "0 3 * * *"}

REST = (
    story(
        "a schedule is added, paused, resumed and removed",
        ask("add_schedule", NIGHTLY, status="succeeded"),
        ask("add_schedule", NIGHTLY, status="failed", gives={"error.code": "SCHEDULE_EXISTS"}),
        ask("pause_schedule", {"name": "nightly"}, status="succeeded"),
        ask("schedules", gives={"*.name": ["nightly"]}),
        ask("resume_schedule", {"name": "nightly"}, status="succeeded"),
        ask("schedule", {"name": "nightly"}, gives={"name": "nightly"}),
        ask("remove_schedule", {"name": "nightly"}, status="succeeded"),
        of_run("undo", "undone"),
        ask("schedules", gives={"#": 1}),
        counts=True,
    ),
    story(
        "a schedule that there is not",
        ask("schedule", {"name": "none"}, code="SCHEDULE_UNKNOWN"),
        ask("pause_schedule", {"name": "none"}),
        ask("schedules", gives={"#": 0}),
        counts=True,
    ),
    story("a schedule that can't be", ask("add_schedule", {**NIGHTLY, "cron": "never"})),
    story(
        "versions of a capability",
        ask("capability_history", {"capability": "io.fs.write_file"}),
        ask("capability", {"reference": "io.fs.write_file@1"}),
        ask("parameters", {"reference": "io.fs.write_file"}),
        ask("capability_diff", {"capability": "io.fs.write_file", "old": "1.0.0", "new": "1"}),
        ask("capability", {"reference": "none"}, code="CAPABILITY_UNKNOWN"),
        counts=True,
    ),
    story(
        "a label names a version until it is taken away",
        ask("label", {"reference": "sys.noop@1.0.0", "label": "stable"}),
        noop(version="stable"),
        ask("unlabel", {"capability": "sys.noop", "label": "stable"}, gives={"removed": True}),
        noop(version="stable", code="VERSION_NOT_FOUND"),
    ),
    story(
        "the newest version stays",
        ask("retire", {"reference": "sys.noop@1.0.0"}, code="VERSION_NEWEST"),
        ask("label", {"reference": "sys.noop@1.0.0", "label": "9"}, code="LABEL_INVALID"),
    ),
    story(
        "a call of an exact version",
        noop(version="1.0.0"),
        of_run("show", gives={"steps.0.version": "1.0.0"}),
    ),
    story("capabilities by name", ask("capabilities", {"pattern": "sys.*"})),
    story(
        "what may be called",
        ask("tools", {"pattern": "io.fs.delete"}, gives={"0.decisions": ["DENY", "REQUIRE_APPROVAL"]}),
    ),
    story(
        "what the policy would say",
        ask(
            "explain_policy",
            {"capability": "io.fs.delete", "parameters": {"path": "a"}},
            gives={"decision": "REQUIRE_APPROVAL", "rule": "deletes"},
        ),
        ask("policy", gives={"rules": 3}),
        ask("check_policy", {"path": "p.yaml", "text": "version: 1\nrules: [{id: x}]"}, gives={"ok": False}),
        ask("check_policy", {"path": "policy.yaml"}, gives={"ok": True}),
        ask("test_policy", {"path": "c.yaml", "text": "cases: ["}, code="DOCUMENT_SYNTAX"),
        counts=True,
    ),
    story(
        "what another policy would have said, and which one people's answers suggest",
        write(),
        ask("simulate_policy", {"path": "p.yaml", "text": "version: 1\nrules: []\n"}),
        ask("suggest_policy", {"least": 1}),
        counts=True,
    ),
    story(
        "a plan is shown and run once",
        ask("plan", {"workflow": flow(put("a", "a.txt"))}, keep={"plan": "plan_id"}),
        ask("run", {"plan": "@plan"}, status="succeeded"),
        ask("run", {"plan": "@plan"}, code="PLAN_USED"),
    ),
    story(
        "secrets' names",
        ask("secrets"),
        ask("secret_users", {"name": "none"}),
        ask("require_secret", {"name": "a b"}, code="SECRET_NAME_INVALID"),
        ask("forget_secret", {"name": "none"}, gives={"forgotten": True}),
        ask("set_secret", {"name": "a b", "value": "x"}, code="SECRET_NAME_INVALID"),
        *(ask(op, {"name": "none", **said}, code="SECRET_NOT_WRITABLE") for op, said in SECRETS.items()),
    ),
    story(
        "webhooks that there are not",
        ask("deliveries", gives={"#": 0}),
        ask("retry_delivery", {"delivery": "msg_none"}, code="DELIVERY_UNKNOWN"),
        ask("cancel_delivery", {"delivery": "msg_none"}, code="DELIVERY_UNKNOWN"),
        ask("deliveries", {"status": "gone"}, code="INVALID_INPUT"),
        counts=True,
    ),
    story(
        "servers of others",
        ask("servers", gives={"#": 0}),
        ask("look_at_server", {"name": "none"}, code="MCP_SERVER_UNKNOWN"),
        ask("server_log", {"name": "none"}, code="MCP_SERVER_UNKNOWN"),
        ask("trust_server", {"name": "none", "digest": "0" * 64}, code="MCP_SERVER_UNKNOWN"),
        counts=True,
    ),
    story(
        "scanners, as their files say",
        ask("scanners", {"is_asked": False}, gives={"*.status": ["unknown"] * 22}),
    ),
    story(
        "plugins",
        ask("plugins", gives={"#": 0}),
        ask("untrust_plugin", {"name": "none"}),
        ask("look_at_plugin", {"plugin": "none"}, code="PLUGIN_UNKNOWN"),
        ask("trust_plugin", {"name": "none", "digest": "0" * 64}, code="PLUGIN_UNKNOWN"),
        ask("plugin_faults"),
        ask("plugins_health"),
        counts=True,
    ),
    story(
        "the state of things",
        ask("doctor", is_local=True),
        ask("health", gives={"status": "ok"}, is_local=True),
        ask("under_way", {"runs": ["run_none"]}, gives={"runs": []}),
        counts=True,
    ),
    story(
        "no more runs than may wait",
        call("sys.sleep", {"seconds": 60}, status=None, late="nap"),
        ask("runs", until=True, gives={"*.status": ["running"]}, keep={"nap": "0.run_id"}),
        noop(status=None, late="next"),
        ask("runs", until=True, gives={"*.status": ["running", "pending"]}),
        noop(code="QUEUE_FULL", is_code=True),
        of_run("cancel", "cancelled", run="@nap"),
        ask(JOIN, late="nap", status="cancelled"),
        ask(JOIN, late="next", status="succeeded"),
        settings="[limits]\nruns = 1\nqueue = 1\n",
    ),
)

EVE_AND_BOB: Final = """
  - id: not-eve
    when: {concurrency: "prod-*", principal: "user:eve"}
    decision: DENY
    reason: eve does not deploy
  - id: bob-makes-way
    when: {concurrency: "prod-*", cancels_others: true, principal: "user:bob"}
    decision: ALLOW
"""


def keyed(text: str, *steps: Said, **said: Any) -> dict[str, Any]:
    """A workflow whose runs share a concurrency key."""
    does = steps or ({"name": "noop", "capability": "sys.noop"},)
    return flow(*does, concurrency={"key": text, **said})


CONCURRENCY = (
    story(
        "whoever may not read hears that a concurrency key is taken, and not by whom",
        key("writer", "call"),
        key("planner", "plan"),
        run(keyed("taken", wait_for()), "waiting", keep={"holder": "run_id"}),
        run(
            keyed("taken", on_busy="refuse"),
            code="CONCURRENCY_TAKEN",
            gives={"error.details": {"runs": ["@holder"]}},
        ),
        run(
            keyed("taken", on_busy="refuse"),
            by="writer",
            code="CONCURRENCY_TAKEN",
            gives={"error.details": {}, "error.hint": None},
        ),
        ask(
            "plan",
            {"workflow": keyed("taken", limit=3)},
            gives={"concurrency.held_by": ["@holder"], "concurrency.in_force": 1},
        ),
        ask("plan", {"workflow": keyed("taken")}, by="planner", gives={"concurrency.held_by": []}),
        run(keyed("taken"), "pending", gives={"concurrency.held_by": ["@holder"]}, keep={"first": "run_id"}),
        run(
            keyed("taken"),
            "pending",
            by="writer",
            gives={"concurrency.held_by": [], "concurrency.waiting": []},
            keep={"second": "run_id"},
        ),
        *(of_run("cancel", "cancelled", run=f"@{name}") for name in ("second", "first", "holder")),
        counts=True,
    ),
    story(
        "the policy says who has a concurrency key, and who cancels others' runs for it",
        key("eves", "call", "read", principal="user:eve"),
        key("bobs", "call", "read", principal="user:bob"),
        key("bobs-stops", "call", "read", "undo", principal="user:bob"),
        run(keyed("prod-1", wait_for()), "waiting", keep={"holder": "run_id"}),
        run(
            keyed("prod-1", on_busy="cancel_running"),
            "failed",
            by="eves",
            gives={"error.code": "POLICY_DENIED", "error.details": {"rule": "not-eve"}},
        ),
        of_run(
            "explain_decisions",
            gives={"decisions.0.capability": "assent.concurrency", "decisions.0.agrees": True},
        ),
        run(keyed("prod-1", on_busy="cancel_running"), "pending", by="bobs", keep={"queued": "run_id"}),
        of_run("show", "waiting", run="@holder", gives={"concurrency.replaced_by": None}),
        run(keyed("prod-1", on_busy="cancel_running"), by="bobs-stops", keep={"newest": "run_id"}),
        of_run("show", "cancelled", run="@holder", gives={"concurrency.replaced_by": "@newest"}),
        of_run("show", "cancelled", run="@queued", gives={"concurrency.replaced_by": "@newest"}),
        rules=EVE_AND_BOB,
    ),
)

OUTPUT: Final = (
    '{"template-id":"git-config","info":{"name":"Git","severity":"low"},"matched-at":"https://shop.example/.git/config"}\n'
    '{"template-id":"env-file","info":{"name":"Env","severity":"high"},"matched-at":"https://shop.example/.env"}\n'
)
"""What nuclei wrote."""
CRAWLED: Final = '{"timestamp":"2026-11-20T01:51:06Z","request":{"method":"GET","endpoint":"https://shop.example/"},"response":{}}\n'


def encoded(text: str) -> str:
    """Bytes as JSON has them."""
    return b64encode(text.encode()).decode()


def imported(path: str, **how: Any) -> Step:
    return call("findings.import", {"path": path, "project": "shop"}, **how)


FINDINGS: Final = (
    story(
        "what scanners wrote becomes findings, which are decided about, compared, exported and proved",
        write("one.jsonl", OUTPUT),
        imported("one.jsonl", keep={"first": "run_id"}),
        write("two.jsonl", OUTPUT.splitlines()[1] + "\n"),
        imported("two.jsonl", keep={"second": "run_id"}),
        write("crawl.jsonl", CRAWLED),
        call("findings.import", {"path": "crawl.jsonl", "project": "shop", "tool": "katana"}),
        ask("projects", gives={"*.name": ["shop"], "*.findings": [2], "*.datasets": [3]}),
        ask("datasets", {"run": "@second"}, gives={"0.new": 0, "0.known": 1, "0.records": 1}),
        ask("discovered", gives={"resources.0.resource": "https://shop.example/"}),
        ask(
            "findings",
            {"severities": ["high", "low"], "limit": 1},
            gives={"findings.*.severity": ["high"]},
            keep={"bad": "findings.0.id", "next": "next", "project": "project_id"},
        ),
        ask("findings", {"after": "@next"}, gives={"findings.*.severity": ["low"], "next": None}),
        ask(
            "finding", {"finding": "@bad"}, gives={"finding.title": "Env", "triage": {}, "suppressed": False}
        ),
        ask(
            "findings_diff",
            {"before": "@first", "later": "@second"},
            gives={"counts": {"new": 0, "fixed": 1, "still": 1, "reappeared": 0}},
        ),
        call("findings.triage", {"project": "shop", "findings": ["@bad"], "status": "resolved"}),
        ask("findings_stats", gives={"active": 1, "resolved": 1}),
        of_run("undo", "undone"),
        ask("findings_stats", {"project": "@project"}, gives={"active": 2, "resolved": 0}),
        ask("findings_export", {"format": "csv", "text": "nothing like this"}),
        ask("prove_finding", {"finding": "@bad"}, gives={"size": 1, "index": 0}),
        ask("findings", {"severities": ["bad"]}, code="INVALID_INPUT"),
        ask("findings", {"project": "none"}, code="PROJECT_UNKNOWN"),
        ask("finding", {"finding": "0000"}, code="FINDING_UNKNOWN"),
        ask("findings_diff", {"before": "none", "later": "@second"}, code="RUN_UNKNOWN"),
        counts=True,
    ),
    story(
        "workflows of scans come along",
        ask("recipe", {"name": "code"}, gives={"name": "code"}),
        ask("recipe", {"name": "none"}, code="RECIPE_UNKNOWN"),
        ask("scanners", {"is_asked": False}, gives={"#": 22}),
        counts=True,
    ),
    story(
        "resources are published, looked at and taken back",
        call("resource.publish", {"reference": "res://project/shop/wordlist/words:1", "text": "admin\n"}),
        ask("resources", {"scope": "project/shop"}, gives={"*.name": ["words"]}),
        ask(
            "resource",
            {"reference": "res://wordlist/words:latest", "project": "shop"},
            gives={"version": "1"},
        ),
        ask("resource_content", {"reference": "res://project/shop/wordlist/words:1"}),
        of_run("undo", "undone"),
        ask("resource", {"reference": "res://project/shop/wordlist/words:1"}, code="RESOURCE_NOT_FOUND"),
        ask("resources", {"type": "words"}, code="INVALID_INPUT"),
        counts=True,
    ),
    story(
        "a file that is handed over, in parts",
        ask(
            "hand_over",
            {
                "upload": "one-upload",
                "capability": "findings.import",
                "data": encoded(OUTPUT[:50]),
                "last": False,
            },
            gives={"blob": None, "bytes": 50},
        ),
        ask(
            "hand_over",
            {
                "upload": "one-upload",
                "capability": "findings.import",
                "data": encoded(OUTPUT[50:]),
                "offset": 50,
            },
            keep={"blob": "blob", "bytes": "bytes"},
        ),
        ask(
            "hand_over",
            {"upload": "two-upload", "capability": "findings.import", "data": "", "offset": 1},
            code="UPLOAD_INVALID",
        ),
        call(
            "findings.import",
            {"project": "shop", "handed": {"upload": "one-upload", "blob": "@blob", "bytes": "@bytes"}},
        ),
        ask("findings", gives={"#": 5}),
        ask(
            "hand_over",
            {"upload": "short", "capability": "findings.import", "data": ""},
            code="UPLOAD_INVALID",
        ),
    ),
)

STORIES: Final = (
    *AUTH,
    *LIMITS,
    *ERRORS,
    *APPROVAL,
    *CANCEL_AND_UNDO,
    *WAITING,
    *CONCURRENCY,
    *STREAMS,
    *RECORD,
    *ONCE,
    *REST,
    *FINDINGS,
)
