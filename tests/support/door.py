"""A terminal for tests of the command line: type a command, read both streams and the code; the runtime can be a scripted one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec
import pytest

from assent.capabilities import builtin_capabilities
from assent.cli import main
from assent.errors import AssentError, InputError, Json
from assent.registry import CapabilityRegistry
from assent.runtime.service import process
from assent.runtime.service import requests as ask
from assent.runtime.service.codec import answer_type
from assent.runtime.service.requests import Driving, OnProgress, Request, Stream, operation_of
from assent.runtime.settings.effective import Settings
from assent.spec.values.frozen import thaw

A = TypeVar("A")
Result: TypeAlias = "dict[str, Json]"

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
    """An approval as the service tells it."""
    approval: dict[str, Json] = {
        "approval_id": "apr_1",
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
        "notified": ["ops"],
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
    coming: list[Result] = field(default_factory=list)
    """What happens to a run that is waited for."""
    unfinished_count: int = 0
    owner_health: Result | AssentError | None = None
    progress: list[Result] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    looks: list[str | None] = field(default_factory=list)
    """Each look at what waits for an approval: of which run, or of all."""

    def perform(
        self,
        request: Request[A],
        settings: Settings,
        *,
        on_progress: OnProgress | None = None,
        ident: str | None = None,
    ) -> A:
        """What was scripted. The real one answers anything else: what is true of the machine, and calls that it refuses."""
        script = self._scripts().get(type(request))
        is_told = (
            isinstance(request, Driving | ask.AcceptTail) and operation_of(type(request)) in self.answers
        )
        if script is None and not is_told:
            return process.perform(request, settings, on_progress=on_progress, ident=ident)
        if not isinstance(request, _ASIDE):
            self.requests.append({"op": operation_of(type(request)), **_given(request)})
        if on_progress is not None:
            for leaf in self.progress:
                on_progress(leaf)
        said = script(request) if script is not None else self._driven(operation_of(type(request)))
        answer: A = filled(answer_type(type(request)), said)
        return answer

    def _driven(self, name: str) -> Result:
        answer = self.answers[name]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    # `Any`: each takes its own kind of request, and gives what `filled` makes an answer of.
    def _scripts(self) -> Mapping[type[Request[Any]], Callable[[Any], Any]]:
        return {
            ask.Plan: lambda _: _known(self.planned),
            ask.Replay: lambda _: _known(self.replayed),
            ask.Snapshot: lambda asked: {"data": f"the snapshot of {asked.run}".encode()},
            ask.VerifyProof: self._proof,
            ask.VerifyExport: lambda _: self.report,
            ask.VerifyLedger: lambda _: self.report,
            ask.Health: self._health,
            ask.Parameters: _parameters,
            ask.Runs: self._runs,
            ask.Show: self._show,
            ask.Deliveries: self._deliveries,
            ask.Approvals: self._approvals,
            ask.Prove: lambda asked: {"seq": asked.seq, "proof": f"proof of {asked.seq}\n"},
            ask.Export: lambda asked: {"path": asked.folder, "entries": 3},
            ask.Unfinished: lambda _: {"count": self.unfinished_count, "of": 3},
            ask.PublicKey: lambda _: {"key": "assent.test+0000+KEY"},
        }

    def stream(self, request: Stream[A], settings: Settings) -> Iterator[A]:
        parts: list[Any] = [*self.lines]
        if isinstance(request, ask.Events):
            parts = [*self.coming]
        else:
            self.requests.append({"op": operation_of(type(request)), **_given(request)})
        if isinstance(request, ask.Attachment):
            said = (f"what {request.run} ", f"attached as {request.digest}")
            parts = [{"data": text.encode()} for text in said]
        for part in parts:
            yield filled(answer_type(type(request)), part)

    def _approvals(self, asked: ask.Approvals) -> Result:
        self.looks.append(asked.run)
        return {"approvals": [one for one in self.waiting if asked.run in (None, one["run_id"])]}

    def _health(self, asked: ask.Health) -> Result | None:
        del asked
        if isinstance(self.owner_health, AssentError):
            raise self.owner_health
        return self.owner_health

    def _proof(self, asked: ask.VerifyProof) -> Result:
        if asked.proof != "good":
            raise InputError("PROOF_INVALID", "the proof does not lead to the root")
        return {"index": 4, "size": 9, "root": "AAAA", "origin": "o", "entry": {}}

    def _runs(self, asked: ask.Runs) -> Result:
        chosen = [one for one in self.known_runs if not asked.status or one["status"] in asked.status]
        if asked.before is not None:
            chosen = chosen[: [one["run_id"] for one in chosen].index(asked.before)]
        told = chosen if asked.limit is None else chosen[-asked.limit :]
        older = len(chosen) - len(told)
        before = told[0]["run_id"] if older else None
        return {"runs": [*told], "before": before, "older": older or None}

    def _show(self, asked: ask.Show) -> Result:
        if not self.shown:
            raise InputError("RUN_UNKNOWN", f"there is no run `{asked.run}`")
        return self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]

    def _deliveries(self, asked: ask.Deliveries) -> Result:
        found = [one for one in self.sent if asked.status in (None, one["status"])]
        return {"deliveries": [*(found if asked.limit is None else found[-asked.limit :])]}


_ASIDE = (ask.Approvals, ask.Unfinished, ask.Show, ask.Runs, ask.PublicKey, ask.Parameters)
"""What is asked beside what a command is about."""


def _parameters(asked: ask.Parameters) -> Result:
    """Those of the built-in capabilities alone."""
    registry = CapabilityRegistry()
    for one in builtin_capabilities():
        registry.register_capability(one.spec)
    spec = registry.snapshot().spoken(asked.reference)
    return {"id": spec.id, "schema": thaw(spec.parameters)}


def _known(result: Result | None) -> Result:
    assert result is not None
    return result


def _given(request: Request[Any]) -> dict[str, Any]:
    """The fields of a request, the defaults included."""
    return {name: getattr(request, name) for name in request.__struct_fields__}


def filled(kind: Any, data: Any) -> Any:
    """An answer of this type from what a test cares about: whatever else it has is empty."""
    found = msgspec.inspect.type_info(kind)
    return msgspec.convert(_filled(found, data), kind)


def _filled(kind: Any, data: Any) -> Any:
    match kind:
        case msgspec.inspect.UnionType():
            struct = next((one for one in kind.types if isinstance(one, msgspec.inspect.StructType)), None)
            return _filled(struct, data) if isinstance(data, dict) and struct is not None else data
        case msgspec.inspect.StructType() if isinstance(data, dict):
            known = {one.encode_name: one for one in kind.fields}
            blank = {name: _blank(one.type) for name, one in known.items() if one.required}
            return blank | {name: _filled(known[name].type, data[name]) for name in data if name in known}
        case msgspec.inspect.ListType() if isinstance(data, list):
            return [_filled(kind.item_type, one) for one in data]
        case msgspec.inspect.DictType() if isinstance(data, dict):
            return {name: _filled(kind.value_type, one) for name, one in data.items()}
        case msgspec.inspect.StrType():
            return data if isinstance(data, str) else "" if data is None else str(data)
        case _:
            return data


def _blank(kind: Any) -> Any:
    match kind:
        case msgspec.inspect.UnionType() if kind.includes_none:
            return None
        case msgspec.inspect.StructType():
            return _filled(kind, {})
        case msgspec.inspect.ListType():
            return []
        case msgspec.inspect.DictType():
            return {}
        case msgspec.inspect.StrType():
            return ""
        case msgspec.inspect.BoolType():
            return False
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            return 0
        case _:
            return None


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
        code = main(list(words), service=self.runtime)
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
        "retire",
    )
    return ScriptedRuntime(answers=dict.fromkeys(operations, error))
