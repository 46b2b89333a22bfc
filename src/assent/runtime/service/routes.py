"""The HTTP API as a table: each operation of the service with its method and path. Every door of HTTP, its description, its
client and its tests are made from this one; `tests/server/test_routes.py` holds it to every operation there is.

What a path names goes into the request's field of that name; everything else comes from the body, or of a GET from the query.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import unquote

import msgspec

from assent.errors import InputError
from assent.runtime.service import requests as ask
from assent.runtime.service.requests import Request, operation_of

NOT_ASKED: Final = frozenset({"words", "source", "base", "client"})
"""Fields that no caller of this door fills: words of a command line, names of files on the machine it was typed at, and an
agent's client, which only `/mcp` has.
"""

KEY_PATTERN: Final = "^[!-~]([ -~]{0,253}[!-~])?$"
"""What an idempotency key is."""

WORKFLOW: Final = "workflow"
"""What a workflow's document is called in a body: the document itself, or its text in YAML."""

OF_WORKFLOWS: Final = (ask.Run, ask.Plan, ask.AddSchedule)

Answered: TypeAlias = Literal["object", "run", "runs", "list", "text", "data", "lines", "events", "bytes"]
"""`run`, `runs`: answers with a status of their own; `list`, `text`, `data`: the one field in it as it is; the rest: a stream."""


MEDIA: Final[Mapping[str, str]] = {
    "text": "text/plain; charset=utf-8",
    "data": "application/octet-stream",
    "lines": "application/x-ndjson",
    "events": "text/event-stream",
    "bytes": "application/octet-stream",
}
"""What an answer is that is no JSON."""


class Route(msgspec.Struct, frozen=True, dict=True):
    """One operation behind HTTP."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    kind: type[Request[Any]]  # `Any`: each has its own answer
    answered: Answered = "object"

    @cached_property
    def operation(self) -> str:
        """The name of the operation; with what the path names, where several paths lead to it."""
        several = sum(route.kind is self.kind for route in ROUTES) > 1
        return "_of_".join([operation_of(self.kind), *(self.named[-1:] if several else ())])

    @cached_property
    def named(self) -> tuple[str, ...]:
        """The fields that the path names."""
        return tuple(part[1:-1].partition(":")[0] for part in self.path.split("/") if part.startswith("{"))

    @cached_property
    def shape(self) -> tuple[str, ...]:
        """The parts of the path, each name as an empty text, one for the whole rest (`:path`) as `*`. Routes of one shape are one
        path with several methods.
        """
        parts = self.path.split("/")
        return tuple(
            "*" if part.endswith(":path}") else "" if part.startswith("{") else part for part in parts
        )

    @cached_property
    def given(self) -> tuple[str, ...]:
        """The fields that the caller says otherwise."""
        known = {*self.named, *NOT_ASKED}
        return tuple(name for name in self.kind.__struct_fields__ if name not in known)


ROUTES: Final = (
    # What acts: each is a run, answered with its object.
    Route("POST", "/v1/calls", ask.Call, "run"),
    Route("POST", "/v1/runs", ask.Run, "run"),
    Route("POST", "/v1/sessions", ask.OpenSession),
    Route("POST", "/v1/runs/{run}/steps", ask.AddStep, "run"),
    Route("POST", "/v1/runs/{run}/close", ask.CloseSession, "run"),
    Route("POST", "/v1/runs/{run}/approve", ask.Approve, "run"),
    Route("POST", "/v1/runs/{run}/reject", ask.Reject, "run"),
    Route("POST", "/v1/runs/{run}/cancel", ask.Cancel, "run"),
    Route("POST", "/v1/runs/{run}/undo", ask.Undo, "run"),
    Route("POST", "/v1/runs/{run}/resolve", ask.Resolve, "run"),
    Route("POST", "/v1/runs/{run}/resume", ask.Resume, "runs"),
    Route("POST", "/v1/runs/{run}/signal", ask.Signal),
    Route("POST", "/v1/resume", ask.Resume, "runs"),
    Route("POST", "/v1/erasures", ask.Erase, "run"),
    Route("POST", "/v1/schedules", ask.AddSchedule, "run"),
    Route("POST", "/v1/schedules/{name}/pause", ask.PauseSchedule, "run"),
    Route("POST", "/v1/schedules/{name}/resume", ask.ResumeSchedule, "run"),
    Route("DELETE", "/v1/schedules/{name}", ask.RemoveSchedule, "run"),
    Route("GET", "/v1/schedules", ask.Schedules, "list"),
    Route("GET", "/v1/schedules/{name}", ask.Schedule),
    # Findings; whatever changes them is a call.
    Route("PUT", "/v1/uploads/{upload}", ask.HandOver),
    Route("GET", "/v1/recipes/{name}", ask.Recipe),
    Route("GET", "/v1/projects", ask.Projects, "list"),
    Route("GET", "/v1/datasets", ask.Datasets, "list"),
    Route("GET", "/v1/discovered", ask.Discovered),
    Route("GET", "/v1/findings", ask.Findings),
    Route("GET", "/v1/findings/stats", ask.FindingsStats),
    Route("GET", "/v1/findings/diff", ask.FindingsDiff),
    Route("GET", "/v1/findings/export", ask.FindingsExport, "bytes"),
    Route("GET", "/v1/findings/{finding}", ask.Finding),
    Route("GET", "/v1/findings/{finding}/proof", ask.ProveFinding),
    # Resources by reference, which is said in the query: it has slashes of its own.
    Route("GET", "/v1/resources", ask.Resources, "list"),
    Route("GET", "/v1/resources/version", ask.Resource),
    Route("GET", "/v1/resources/content", ask.ResourceContent, "bytes"),
    # Runs as they stand.
    Route("GET", "/v1/runs", ask.Runs, "list"),
    Route("GET", "/v1/runs/prunable", ask.Prunable),
    Route("GET", "/v1/runs/unfinished", ask.Unfinished),
    Route("POST", "/v1/runs/under_way", ask.UnderWay),
    Route("GET", "/v1/runs/{run}", ask.Show),
    Route("GET", "/v1/runs/{run}/steps/{step}", ask.Show),
    Route("GET", "/v1/runs/{run}/events", ask.Events, "events"),
    Route("GET", "/v1/runs/{run}/decisions", ask.ExplainDecisions),
    Route("GET", "/v1/runs/{run}/undo", ask.PlanUndo),
    Route("GET", "/v1/runs/{run}/snapshot", ask.Snapshot),
    Route("POST", "/v1/runs/{run}/replay", ask.Replay),
    Route("GET", "/v1/runs/{run}/artifacts/{digest}", ask.Attachment, "bytes"),
    Route("GET", "/v1/approvals", ask.Approvals, "list"),
    # What would happen.
    Route("POST", "/v1/plans", ask.Plan),
    Route("POST", "/v1/policy/explain", ask.ExplainPolicy),
    Route("GET", "/v1/policy", ask.PolicyInForce),
    Route("POST", "/v1/policy/check", ask.CheckPolicy),
    Route("POST", "/v1/policy/test", ask.TestPolicy),
    Route("POST", "/v1/policy/simulate", ask.SimulatePolicy),
    Route("GET", "/v1/policy/suggestions", ask.SuggestPolicy),
    # What can be called.
    Route("GET", "/v1/capabilities", ask.Capabilities, "list"),
    Route("GET", "/v1/tools", ask.Tools, "list"),
    Route("GET", "/v1/capabilities/{reference}", ask.Capability),
    Route("GET", "/v1/capabilities/{reference}/parameters", ask.Parameters),
    Route("GET", "/v1/capabilities/{capability}/history", ask.CapabilityHistory),
    Route("GET", "/v1/capabilities/{capability}/diff", ask.CapabilityDiff),
    Route("PUT", "/v1/capabilities/{reference}/labels/{label}", ask.Label),
    Route("DELETE", "/v1/capabilities/{capability}/labels/{label}", ask.Unlabel),
    Route("POST", "/v1/capabilities/{reference}/retire", ask.Retire),
    # The ledger.
    Route("GET", "/v1/audit/log", ask.AuditLog, "lines"),
    Route("GET", "/v1/audit/approvals", ask.AuditApprovals, "lines"),
    Route("POST", "/v1/audit/verify", ask.VerifyLedger),
    Route("GET", "/v1/audit/proofs/{seq}", ask.Prove),
    Route("POST", "/v1/audit/knowledge_proof", ask.ProveKnowledge),
    Route("POST", "/v1/audit/verify_proof", ask.VerifyProof),
    Route("GET", "/v1/audit/key", ask.PublicKey),
    Route("GET", "/v1/audit/checkpoint", ask.Checkpoint, "text"),
    Route("GET", "/v1/audit/tile/{place:path}", ask.Tile, "data"),
    # Webhooks, secrets, plugins, the state of things.
    Route("GET", "/v1/deliveries", ask.Deliveries, "list"),
    Route("POST", "/v1/deliveries/{delivery}/retry", ask.RetryDelivery),
    Route("POST", "/v1/deliveries/{delivery}/cancel", ask.CancelDelivery),
    Route("GET", "/v1/secrets", ask.Secrets, "list"),
    Route("GET", "/v1/secrets/{name}/users", ask.SecretUsers),
    Route("POST", "/v1/secrets/{name}/forget", ask.ForgetSecret),
    Route("POST", "/v1/secrets/{name}/rotate", ask.RotateSecret),
    Route("POST", "/v1/secrets/{name}/confirm", ask.ConfirmSecret),
    Route("POST", "/v1/secrets/{name}/undo", ask.UndoSecret),
    Route("GET", "/v1/secrets/{name}/writable", ask.RequireSecret),
    Route("PUT", "/v1/secrets/{name}", ask.SetSecret),
    Route("GET", "/v1/keys", ask.Keys, "list"),
    Route("POST", "/v1/keys", ask.CreateKey, "run"),
    Route("POST", "/v1/keys/{id}/revoke", ask.RevokeKey, "run"),
    Route("GET", "/v1/plugins", ask.Plugins, "list"),
    Route("GET", "/v1/plugins/health", ask.PluginsHealth),
    Route("GET", "/v1/plugins/faults", ask.PluginFaults),
    Route("POST", "/v1/plugins/look", ask.LookAtPlugin),
    Route("POST", "/v1/plugins/{name}/trust", ask.TrustPlugin),
    Route("POST", "/v1/plugins/{name}/untrust", ask.UntrustPlugin),
    Route("GET", "/v1/scanners", ask.Scanners, "list"),
    Route("GET", "/v1/mcp_servers", ask.Servers, "list"),
    Route("GET", "/v1/mcp_servers/{name}/log", ask.ServerLog),
    Route("POST", "/v1/mcp_servers/{name}/look", ask.LookAtServer),
    Route("POST", "/v1/mcp_servers/{name}/trust", ask.TrustServer),
    Route("GET", "/v1/health", ask.Health),
    Route("GET", "/v1/doctor", ask.Doctor),
)


def _of_length() -> dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]]:
    shapes: dict[tuple[str, ...], dict[str, Route]] = {}
    for route in ROUTES:
        shapes.setdefault(route.shape, {})[route.method] = route
    found: dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]] = {}
    # A word goes before a name: `/v1/runs/prunable` is no run.
    for shape in sorted(shapes, key=lambda shape: [not part for part in shape[1:]]):
        found.setdefault(len(shape), []).append((shape, shapes[shape]))
    return found


_OF_LENGTH: Final = _of_length()
_OF_REST: Final = [
    (shape, found) for some in _OF_LENGTH.values() for shape, found in some if shape[-1] == "*"
]


def find(path: str) -> tuple[dict[str, Route], list[str]]:
    """The routes of a path by their methods, and what it says where they have names; no routes where there is no such path.

    `path` is as it was sent, and decoded only once it is split, so that no name (`a%2Fundo`) leads elsewhere. ValueError for
    a name that is not UTF-8.
    """
    sent = path.split("/")
    for shape, routes in _OF_REST:
        if len(sent) >= len(shape) and (*sent[: len(shape) - 1], "*") == shape:
            return routes, [unquote("/".join(sent[len(shape) - 1 :]), errors="strict")]
    for shape, routes in _OF_LENGTH.get(len(sent), ()):
        pairs = [*zip(shape[1:], sent[1:], strict=True)]
        if not sent[0] and all(said and part in ("", said) for part, said in pairs):
            return routes, [unquote(said, errors="strict") for part, said in pairs if not part]
    return {}, []


OF_FILES: Final[Mapping[type[Request[Any]], str]] = {
    ask.Export: "writes a folder of the machine that it is asked on",
    ask.VerifyExport: "reads one",
    ask.VerifyKnowledge: "reads a file of that machine",
    ask.InspectPlugin: "reads a path of that machine",
    ask.AddServer: "writes assent.toml, which is for whoever has that machine",
    ask.RemoveServer: "writes assent.toml, too",
    ask.AddRepository: "writes assent.toml, too",
    ask.Reply: "is said by the door that hears the question, in the request whose client is asked",
    ask.Listen: "is heard by the door of an agent, which tells the agent's client",
    ask.AcceptTail: "is for a state that no owner can open, and so no daemon",
}
"""Operations without a path, each with the reason."""

ANSWERED: Final[Mapping[type[Request[Any]], Answered]] = {route.kind: route.answered for route in ROUTES}
"""How each operation that has a path is answered; the others are with an object."""


def told(answered: Answered, answer: Any) -> object:  # `Any`: each operation has its own
    """What is told of an answer that is whole: as `--json` prints it, so of a list the list alone."""
    return getattr(answer, answer.__struct_fields__[0]) if answered in ("list", "runs") else answer


def require_key(key: object) -> None:
    """`REQUEST_INVALID` for what can be no idempotency key; nobody checks a program's types for it."""
    if not isinstance(key, str) or not re.fullmatch(KEY_PATTERN, key):
        fault = (
            "an idempotency key must have 1 to 255 characters of visible ASCII, and spaces only between them"
        )
        raise InputError("REQUEST_INVALID", fault)
