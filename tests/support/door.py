"""A terminal for tests of the command line: type a command, read both streams and the code; the runtime can be a scripted one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from assent.cli import main
from assent.errors import AssentError, InputError, Json

if TYPE_CHECKING:
    from assent.cli._facade import Catalogue, OnProgress, ReaderType, Result
    from assent.journal.ports import EventFilter
    from assent.policy import PolicyEngine
    from assent.runtime.settings import Settings

RUN = "run_01jd0000000000000000000000"


def run_object(status: str = "succeeded", **fields: Json) -> dict[str, Json]:
    """A run object of the design's shape."""
    run: dict[str, Json] = {
        "run_id": RUN,
        "workflow": "release",
        "status": status,
        "steps": [],
        "outputs": {},
        "error": None,
        "ledger": {"size": 12, "root": "AAAA"},
    }
    return run | fields


def approval_object(**fields: Json) -> dict[str, Json]:
    """An approval of the façade's shape."""
    approval: dict[str, Json] = {
        "run_id": RUN,
        "step": "publish",
        "capability": "io.fs.delete",
        "version": "1.0.0",
        "risk_level": "HIGH",
        "rule": "high",
        "requester": "user:alice",
        "digest": "d1gest",
        "preview": {"kind": "unified", "diff": "--- a\n+++ b\n@@ -1 +1 @@\n-old\n+new\n"},
        "inputs": {"path": "old/prod.toml"},
        "approvers": {
            "roles": ["operator"],
            "count": 2,
            "not_requester": True,
            "expires_ms": 3_600_000,
            "kinds": ["user"],
        },
        "requested_at": 0,
        "expires_at": None,
        "granted_by": [],
    }
    return approval | fields


@dataclass
class ScriptedRuntime:
    """A runtime that answers as it was told and remembers what it was asked.

    It stands in where the door's own behaviour is tested: which request, which words, which code. How the real one answers is
    tested with the real one, in `tests/e2e`.
    """

    answers: dict[str, Result | BaseException | list[Result | BaseException]] = field(default_factory=dict)
    planned: Result | None = None
    replayed: Result | None = None
    known_runs: list[Result] = field(default_factory=list)
    waiting: list[Result] = field(default_factory=list)
    sent: list[Result] = field(default_factory=list)
    shown: list[Result] = field(default_factory=list)
    report: Result = field(default_factory=lambda: {"ok": True, "size": 3, "root": "AAAA", "faults": []})
    lines: list[Result] = field(default_factory=list)
    unfinished_count: int = 0
    owner_health: Result | None = None
    progress: list[Result] = field(default_factory=list)
    requests: list[Mapping[str, Json]] = field(default_factory=list)

    # -- the façade ---------------------------------------------------------------------------------------------------

    @property
    def Reader(self) -> ReaderType:  # noqa: N802 - the façade's own name
        return self

    def execute(
        self, request: Mapping[str, Json], settings: Settings, *, on_progress: OnProgress | None = None
    ) -> Result:
        self._tell(request, on_progress)
        answer = self.answers[str(request["op"])]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _tell(self, request: Mapping[str, Json], on_progress: OnProgress | None) -> None:
        self.requests.append(request)
        if on_progress is not None:
            for leaf in self.progress:
                on_progress(leaf)

    def plan(
        self, request: Mapping[str, Json], settings: Settings, *, on_progress: OnProgress | None = None
    ) -> Result:
        self._tell(request, on_progress)
        assert self.planned is not None
        return self.planned

    def replay(
        self, settings: Settings, *, run: str, snapshot: bytes | None, capability_version: str | None
    ) -> Result:
        self.requests.append(
            {
                "op": "replay",
                "run": run,
                "snapshot": snapshot.decode() if snapshot is not None else None,
                "capability_version": capability_version,
            }
        )
        assert self.replayed is not None
        return self.replayed

    def snapshot(self, settings: Settings, run: str) -> bytes:
        return f"the snapshot of {run}".encode()

    def verify_proof(self, text: str, key: str) -> Result:
        if text != "good":
            raise InputError("PROOF_INVALID", "the proof does not lead to the root")
        return {"index": 4, "size": 9, "root": "AAAA", "origin": "o", "entry": {}, "key": key}

    def verify_export(self, folder: Path, key: str | None) -> Result:
        return {**self.report, "folder": str(folder), "key": key}

    def capabilities(self, settings: Settings) -> Catalogue:
        from assent.capabilities import builtin_capabilities
        from assent.registry import CapabilityRegistry

        registry = CapabilityRegistry()
        for one in builtin_capabilities():
            registry.register_capability(one.spec)
        return registry.snapshot()

    def capability_list(self, settings: Settings) -> list[Result]:
        from assent.runtime import api

        return api.capability_list(settings)

    def capability(self, settings: Settings, reference: str) -> Result:
        from assent.runtime import api

        return api.capability(settings, reference)

    def capability_diff(self, settings: Settings, name: str, old: str, new: str) -> Result:
        from assent.runtime import api

        return api.capability_diff(settings, name, old, new)

    def capability_history(self, settings: Settings, name: str) -> Result:
        from assent.runtime import api

        return api.capability_history(settings, name)

    def policy(self, settings: Settings) -> PolicyEngine:
        from assent.policy import PolicyEngine

        text = settings.policy_bytes()
        return (
            PolicyEngine.builtin()
            if text is None
            else PolicyEngine.load(text, source=str(settings.policy_path))
        )

    def health(self, request: Mapping[str, Json], settings: Settings) -> Result | None:
        return self.owner_health

    # -- the reader ---------------------------------------------------------------------------------------------------

    @contextmanager
    def open(self, settings: Settings) -> Iterator[ScriptedRuntime]:
        yield self

    def runs(self) -> list[Result]:
        return self.known_runs

    def show(self, run_id: str) -> Result:
        if not self.shown:
            raise InputError("RUN_UNKNOWN", f"there is no run `{run_id}`")
        return self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]

    def attachment(self, run_id: str, digest: str) -> Iterator[bytes]:
        yield from (f"what {run_id} ".encode(), f"attached as {digest}".encode())

    def deliveries(self, *, status: str | None = None, limit: int | None = None) -> list[Result]:
        found = [one for one in self.sent if status in (None, one["status"])]
        return found if limit is None else found[-limit:]

    def approvals(self) -> list[Result]:
        return self.waiting

    def audit_log(self, wanted: EventFilter) -> Iterator[Result]:
        self.requests.append({"filter": repr(wanted)})
        yield from self.lines

    def verify(self, checkpoint: str | None = None, key: str | None = None) -> Result:
        return {**self.report, "checkpoint": checkpoint, "key": key}

    def prove(self, seq: int) -> str:
        return f"proof of {seq}\n"

    def export(self, folder: Path) -> Result | None:
        return {"entries": 3}

    def unfinished(self) -> int:
        return self.unfinished_count

    def vkey(self) -> str:
        return "assent.test+0000+KEY"


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Json:
        """The one object on stdout."""
        assert self.out.count("\n") == 1, f"one compact line, not: {self.out!r}"
        value: Json = json.loads(self.out)
        return value

    @property
    def object(self) -> dict[str, Json]:
        """The same, known to be an object."""
        value = self.json
        assert isinstance(value, dict)
        return value

    @property
    def error(self) -> dict[str, Json]:
        """The error object on stdout."""
        error = self.object["error"]
        assert isinstance(error, dict)
        assert set(error) == {"code", "message", "path", "hint", "details"}
        return error


@dataclass
class Terminal:
    """Types commands into a folder of its own; nobody is there to be asked."""

    folder: Path
    capture: pytest.CaptureFixture[str]
    runtime: ScriptedRuntime | None = None

    def __call__(self, *words: str) -> Answer:
        self.capture.readouterr()
        code = main(list(words), facade=self.runtime)
        out, err = self.capture.readouterr()
        return Answer(code, out, err)

    def write(self, name: str, text: str) -> Path:
        """A file in the terminal's folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


def failing(error: AssentError | BaseException) -> ScriptedRuntime:
    """A runtime that answers every request with this error."""
    operations = (
        "run",
        "call",
        "approve",
        "reject",
        "cancel",
        "resume",
        "undo",
        "resolve",
        "erase",
        "label",
        "unlabel",
        "activate",
        "retire",
    )
    return ScriptedRuntime(answers=dict.fromkeys(operations, error))
