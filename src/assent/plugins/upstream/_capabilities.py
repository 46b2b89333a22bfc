"""Tools as capabilities: the spec that follows from a pinned definition and the operator's word, and the handler that calls it.

What a server says of its own tools can make them more dangerous here and never less. Without the operator's word a tool is taken
to change something for good, and to reach whom it likes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

import msgspec
from msgspec import UNSET

from assent.errors import AssentError, InputError, Json, RefusedError, WorldError
from assent.invocation import Handler, LeadsTo, LocalContext, NoEffectError, Reconciliation
from assent.plugins.upstream._client import SAID_MAX
from assent.plugins.upstream._talk import Talk
from assent.plugins.upstream._tools import Tool, capability_id, has_room, marks_of_result
from assent.spec.capability import CapabilitySpec, Compensation, OperationType, Risk, RiskLevel, SideEffects
from assent.spec.ids import MARKS, WHOLE
from assent.spec.language.expression import Budget, Expression
from assent.spec.language.template import TOP, Reference, Template, compile_template
from assent.spec.secret_fields import SecretFields
from assent.spec.secret_text import TEXT_FORMAT
from assent.spec.states import Verdict
from assent.spec.values.canonical import fingerprint

if TYPE_CHECKING:
    from assent.plugins.upstream._client import Connection
    from assent.plugins.upstream._servers import Ask, Server, Still, TakeBack, ToolSettings

_MARKS: Final[dict[str, Json]] = {
    "type": "array",
    "description": "what was found in this result that may be meant to move a model: look there before you act on it",
    "items": {"type": "object"},
}
_WHOLE: Final[dict[str, Json]] = {
    "type": "object",
    "description": "what else the server's result held: its content, its `_meta`",
}
OURS: Final = ("assent/",)
"""What nobody but us says."""
_HOP: Final = ("io.modelcontextprotocol/", *OURS)
_SAID: Final = frozenset({"content", "structuredContent", "isError", "resultType"})
CONTENT: Final[Mapping[str, Json]] = {
    "type": "object",
    "properties": {
        "content": {"type": "array", "items": {"type": "object"}},
        "structured": {},
        MARKS: _MARKS,
        WHOLE: _WHOLE,
    },
    "required": ["content"],
    "additionalProperties": False,
}
"""What a tool gives that has not said what it gives: the content of its result."""

ERROR_MAX: Final = 64 << 10
"""As much of what a failed tool gave is kept, as JSON; of more, only its text is."""

Names: TypeAlias = frozenset[str]


def capability_of(
    server: Server,
    tool: Tool,
    trusted: Mapping[str, Tool],
    connection: Connection,
    others: Callable[[], Collection[str]] = frozenset,
) -> tuple[CapabilitySpec, Handler]:
    """A trusted tool as a capability. `others`: names of what is not the server's, which its results have no reason to speak of.

    `InputError` SPEC_INVALID, RISK_INCONSISTENT for an operator's word that the law does not take, MCP_TOOL_INVALID for one that
    names a tool which is not trusted, or an expression that is none.
    """
    said = server.said_of(tool.name)
    definition = tool.definition
    takes_back = None if said.compensate is None else TakesBack(server, tool.name, said.compensate, trusted)
    asks = None if said.reconcile is None else Asks(server, tool.name, said.reconcile, trusted)
    spec = CapabilitySpec(
        id=capability_id(server.name, tool.name),
        name=str(definition.get("title") or tool.name),
        description=str(definition.get("description", "")),
        parameters=takes(server, tool),
        returns=_gives(definition),
        timeout=server.timeout_ms / 1000,
        secrets=server.secrets,
        idempotent=said.idempotent or said.reads_only,
        labels=frozenset(
            {"reads_untrusted", *said.labels, *(("sends_external",) if said.open_world else ())}
        ),
        **_rated(definition, said),
    )
    performed = Performed(connection, tool, said, takes_back=takes_back, asks=asks, others=others)
    # An intent is only gone on with by the same tool of the same server, taken back and asked about in the same way.
    word: Json = msgspec.to_builtins(said)
    revision = fingerprint({"place": server.place, "tool": definition, "said": word})
    return spec, Handler(
        execute=performed.execute,
        compensate=None if takes_back is None else performed.compensate,
        reconcile=None if asks is None else performed.reconcile,
        leads_to=None if takes_back is None else takes_back.leads_to,
        revision=f"mcp {revision}",
        completes=True,
    )


def takes(server: Server, tool: Tool) -> dict[str, Json]:
    """What a tool takes, as callers see it: only references may stand where its schema, or the operator, sees a secret.

    `InputError` MCP_TOOL_INVALID for a secret argument that it does not have.
    """
    schema: Any = _references_only(tool.definition.get("inputSchema") or {"type": "object"})  # `Any`: JSON
    secret = server.said_of(tool.name).secret
    if secret:
        properties: dict[str, Any] = dict(schema.get("properties", {}))  # `Any`: as above
        for name in secret:
            if name not in properties:
                place = f"mcp.servers.{server.name}.tools.{tool.name}.secret"
                raise invalid(place, f"names the argument `{name}`, which `{tool.name}` does not have")
            properties[name] = _reference(properties[name])
        schema = {**schema, "properties": properties}
    return schema  # type: ignore[no-any-return]  # an object stays one


def _references_only(schema: Json) -> Json:
    """A schema in which each part that is written for a secret takes references to secrets and nothing else."""
    if isinstance(schema, Mapping):
        if schema.get("writeOnly") is True or schema.get("format") == "password":
            return _reference(schema)
        return {key: _references_only(part) for key, part in schema.items()}
    return [*map(_references_only, schema)] if isinstance(schema, list | tuple) else schema


def _reference(schema: Any) -> dict[str, Json]:  # `Any`: a part of a schema
    # What it says of the value (lengths, patterns) is not true of a reference; the server will check that.
    told = schema if isinstance(schema, Mapping) else {}
    kept = {key: told[key] for key in ("title", "description") if key in told}
    is_text = told.get("type", "string") == "string"
    return {**kept, **({"type": "string"} if is_text else {}), "format": TEXT_FORMAT, "writeOnly": True}


def _gives(definition: Mapping[str, Json]) -> Mapping[str, Json]:
    schema: Any = definition.get("outputSchema")  # `Any`: JSON
    if schema is None:
        return CONTENT
    if not has_room(schema):
        return schema  # type: ignore[no-any-return]  # as above
    return {**schema, "properties": {**schema.get("properties", {}), MARKS: _MARKS, WHOLE: _WHOLE}}


def _rated(definition: Mapping[str, Json], said: ToolSettings) -> dict[str, Any]:  # `Any`: fields of a spec
    """How dangerous a tool is: what is assumed of it, what it says against itself, and the operator's word, which is the last."""
    found = definition.get("annotations")
    hints = found if isinstance(found, Mapping) else {}
    if said.reads_only:
        return {
            "operation_type": OperationType.READ,
            "side_effects": SideEffects(reversible=True, scope="none"),
            "risk": Risk(
                level=RiskLevel(said.risk or "MEDIUM"),
                justification="the operator says that it only reads; what it gives comes from a stranger",
            ),
        }
    back = said.compensate
    level = said.risk or ("CRITICAL" if back is None else "HIGH")
    return {
        "operation_type": OperationType.DELETE
        if hints.get("destructiveHint") is True
        else OperationType.EXECUTE,
        "side_effects": SideEffects(
            reversible=back is not None and back.restores,
            scope="mcp",
            description="whatever the server does when it is asked",
        ),
        "compensation": Compensation()
        if back is None
        else Compensation(supported=True, strategy="compensating_tool"),
        "risk": Risk(
            level=RiskLevel(level),
            justification="a tool of somebody else's server"
            + ("" if back is None else f"; `{back.tool}` takes it back"),
        ),
    }


def invalid(place: str, why: str) -> InputError:
    """Of the operator's word on a tool, which can't be."""
    return InputError(
        "MCP_TOOL_INVALID", f"`[{place}]` {why}", path=place, hint="mend it in assent.toml; see docs/mcp.md"
    )


class _Mapping:
    """Arguments for another tool of the same server, filled in from a call of this one."""

    def __init__(
        self, place: str, said: TakeBack | Ask | Still, trusted: Mapping[str, Tool], known: Names
    ) -> None:
        self.place = f"mcp.servers.{place}"
        if said.tool not in trusted:
            self._refuse(f"names the tool `{said.tool}`, which is not trusted")
        self.tool: Final = trusted[said.tool]
        self._known = known
        self.arguments: Final = self.compiled(dict(said.arguments))

    def compiled(self, data: Json) -> Template:
        """Data with references in it; MCP_TOOL_INVALID for one that is none, or reads what is not there."""

        def found(reference: Reference, at: object) -> None:
            del at
            self._require_known(frozenset(name[0] for name in reference.names))

        return compile_template(
            data, (), TOP, found=found, fault=lambda error, *_: self._refuse(error.message)
        )

    def _require_known(self, roots: Names) -> None:
        if strange := roots - self._known:
            there = ", ".join(f"`{one}`" for one in sorted(self._known))
            self._refuse(f"reads `{min(strange)}`; there are {there}")

    def _refuse(self, why: str) -> NoReturn:
        raise invalid(self.place, why)


class TakesBack(_Mapping):
    """How a call is taken back: by which tool, with which arguments."""

    def __init__(self, server: Server, of: str, said: TakeBack, trusted: Mapping[str, Tool]) -> None:
        known = frozenset({"inputs", "output", "key"})
        super().__init__(f"{server.name}.tools.{of}.compensate", said, trusted, known)
        self.is_still: Final = None if said.only_if is UNSET else IsStill(server, of, said.only_if, trusted)
        self._id = capability_id(server.name, said.tool)
        self.said: Final = server.said_of(said.tool)

    def leads_to(self, context: LocalContext, parameters: Mapping[str, Json]) -> list[LeadsTo]:
        """The call that takes it back, for the gate to be asked about."""
        unknown = (
            frozenset(
                name
                for name in self.arguments.keys_with_references()
                if any(path[0] == "output" for path in self.arguments.names_of(name))
            )
            if context.output is None
            else frozenset()
        )
        known = {"inputs": parameters, "key": context.key, "output": context.output}
        wanted: set[str | None] = {name for name in self.arguments.literals() if name not in unknown}
        rendered = self.arguments.render(known, Budget(), only=wanted)
        assert isinstance(rendered, dict), "arguments are a table"
        return [LeadsTo("tool", self._id, rendered, unknown)]

    def filled(self, context: LocalContext, parameters: Mapping[str, Json]) -> dict[str, Json]:
        """The arguments of the call that takes this one back. `ExpressionError` where they read what the call did not give."""
        rendered = self.arguments.render(
            {"inputs": parameters, "output": context.output, "key": context.key}, Budget()
        )
        assert isinstance(rendered, dict), "as above"
        return rendered


class _Question(_Mapping):
    """What a tool of the same server is asked about a call, and what its answer has to be."""

    def __init__(
        self, place: str, said: Ask | Still, trusted: Mapping[str, Tool], known: Names, *, expected: str
    ) -> None:
        super().__init__(place, said, trusted, known)
        self._known = known | {"result"}
        try:
            self._expected: Final = Expression(expected)
        except InputError as error:
            self._refuse(error.message)
        self._require_known(self._expected.roots)

    def filled(self, known: Mapping[str, Json]) -> dict[str, Json]:
        """The arguments of the question. `ExpressionError` where they read what is not there."""
        rendered = self.arguments.render(known, Budget())
        assert isinstance(rendered, dict), "arguments are a table"
        return rendered


class IsStill(_Question):
    """Whether what a call left is as it left it."""

    def __init__(self, server: Server, of: str, said: Still, trusted: Mapping[str, Tool]) -> None:
        place = f"{server.name}.tools.{of}.compensate.only_if"
        super().__init__(place, said, trusted, frozenset({"inputs", "output", "key"}), expected=said.holds)
        self._said = said.holds

    def require(self, known: Mapping[str, Json]) -> None:
        """`RefusedError` COMPENSATION_CONFLICT where the answer says otherwise."""
        if self._expected.evaluate(known) is not True:
            raise RefusedError(
                "COMPENSATION_CONFLICT",
                f"`{self.tool.name}` says that what this call left is not as it was: `{self._said}` does not hold",
                details={"expected": self._said, "found": known["result"]},
            )


class Asks(_Question):
    """How a server is asked whether a call happened."""

    def __init__(self, server: Server, of: str, said: Ask, trusted: Mapping[str, Tool]) -> None:
        place = f"{server.name}.tools.{of}.reconcile"
        super().__init__(place, said, trusted, frozenset({"inputs", "key"}), expected=said.happened)
        self.output: Final = self.compiled(said.output)

    def answer(self, known: Mapping[str, Json]) -> Reconciliation:
        """What an answer means. `ExpressionError` where it does not hold what it is read for."""
        happened = self._expected.evaluate(known)
        if not isinstance(happened, bool):
            return Reconciliation(Verdict.UNKNOWN)
        if not happened:
            return Reconciliation(Verdict.NO)
        return Reconciliation(Verdict.YES, self.output.render(known, Budget()))


class Performed:
    """The parts of a tool's handler."""

    def __init__(
        self,
        connection: Connection,
        tool: Tool,
        said: ToolSettings,
        *,
        takes_back: TakesBack | None,
        asks: Asks | None,
        others: Callable[[], Collection[str]],
    ) -> None:
        self._connection = connection
        self._secret: dict[str, SecretFields] = {}
        self._others = others
        self._not_asked: set[str] = set()
        """Calls of which an attempt to take them back is known not to have reached the server."""
        self._tool = tool
        self._said = said
        self._takes_back = takes_back
        self._asks = asks

    async def execute(self, context: LocalContext, parameters: Mapping[str, Json]) -> Json:
        """Call the tool."""
        return await self._given(context, self._tool, parameters, fails_clean=self._said.fails_clean)

    async def compensate(self, context: LocalContext, parameters: Mapping[str, Json]) -> None:
        """Call the tool that takes it back; where the server can be asked, not for what is not there (any more).

        Where nobody can tell whether an earlier attempt did, a person is asked: to take back twice may be as bad as to do twice.
        `RefusedError` COMPENSATION_CONFLICT where somebody has changed since what the call left.
        """
        takes_back = self._takes_back
        assert takes_back is not None, "a handler without it has no such part"
        verdict = Verdict.UNKNOWN
        is_settled = await self._connection.settled(context.key)
        if self._asks is not None:
            verdict = (await self.reconcile(context, parameters)).verdict
            if verdict is Verdict.NO:
                return
        is_still = takes_back.is_still
        if is_still is not None:
            known: dict[str, Json] = {"inputs": {**parameters}, "output": context.output, "key": context.key}
            found = await self._given(context, is_still.tool, is_still.filled(known))
            is_still.require({**known, "result": found})
        may_repeat = takes_back.said.idempotent or (
            is_settled and (verdict is Verdict.YES or is_still is not None)
        )
        if context.is_retry and context.key not in self._not_asked and not may_repeat:
            raise self._unsettled(takes_back.tool)
        self._not_asked.discard(context.key)
        try:
            given = takes_back.filled(context, parameters)
            await self._given(context, takes_back.tool, given, fails_clean=takes_back.said.fails_clean)
        except NoEffectError:
            self._not_asked.add(context.key)
            raise
        except WorldError as error:
            if may_repeat:
                raise
            raise self._unsettled(takes_back.tool, error) from error

    async def reconcile(self, context: LocalContext, parameters: Mapping[str, Json]) -> Reconciliation:
        """Ask the server whether the call happened."""
        assert self._asks is not None, "as above"
        known: dict[str, Json] = {"inputs": {**parameters}, "key": context.key}
        is_settled = await self._connection.settled(context.key)
        given = await self._given(context, self._asks.tool, self._asks.filled(known))
        answer = self._asks.answer({**known, "result": given})
        # What has not happened yet may still happen.
        return Reconciliation(Verdict.UNKNOWN) if answer.verdict is Verdict.NO and not is_settled else answer

    async def _given(
        self,
        context: LocalContext,
        tool: Tool,
        arguments: Mapping[str, Json],
        *,
        fails_clean: bool = False,
    ) -> Json:
        host = self._connection.server.host
        secret = self._secret.get(tool.name)
        if secret is None:
            secret = self._secret[tool.name] = SecretFields(takes(self._connection.server, tool))
        if secret.hides:
            arguments = await context.reveal(secret.marked(dict(arguments)), host=host)
        try:
            result = await self._connection.call(
                tool.name,
                arguments,
                pinned=tool.definition,
                reveal=partial(revealed, context, host),
                key=context.key,
                talk=Talk(self._connection.server.name, context),
            )
            if result.get("isError"):
                raise self._failed(tool, result)
        except (NoEffectError, WorldError) as error:
            # A model reads this like any result, and whether a call has failed is for the server to say.
            await mark_failure(error, self._others())
            if fails_clean and error.code == "MCP_TOOL_FAILED":
                raise NoEffectError(error.code, error.message, details=error.details) from error
            raise
        given: Any = result.get("structuredContent")  # `Any`: JSON
        content = result.get("content", [])
        rest = {key: one for key, one in result.items() if key not in _SAID}
        # What the two ends of one connection say to each other is not for the next one.
        meta = without(_HOP, rest.pop("_meta", None))
        if meta:
            rest["_meta"] = meta
        schema = tool.definition.get("outputSchema")
        if schema is None:
            given = {"content": content, **({"structured": given} if "structuredContent" in result else {})}
        elif not isinstance(given, dict):
            return given  # type: ignore[no-any-return]  # as above
        else:
            for ours in (MARKS, WHOLE):  # who says this is not the server
                given.pop(ours, None)
            if not has_room(schema):
                return given
            if content and not _repeats(content, given):
                rest["content"] = content
        if rest:
            given = {**given, WHOLE: rest}
        marks = await marks_of_result(given, self._others())
        return {**given, MARKS: marks} if marks else given

    def _unsettled(self, tool: Tool, error: WorldError | None = None) -> RefusedError:
        server = self._connection.server.name
        why = "was cut short" if error is None else f"gave no answer that says so: {error.message}"
        return RefusedError(
            "COMPENSATION_UNKNOWN",
            f"`{tool.name}` of MCP server `{server}` may have taken it back already; the call {why}",
            hint="look there; then `assent resolve RUN STEP --compensated`, or `assent resume` to call it once more",
            details={} if error is None else error.details,
        )

    def _failed(self, tool: Tool, result: Mapping[str, Any]) -> WorldError:  # `Any`: JSON
        content = result.get("content", [])
        texts = (str(one.get("text", "")) for one in content if isinstance(one, Mapping))
        said = "\n".join(texts)[:SAID_MAX]
        return WorldError(
            "MCP_TOOL_FAILED",
            f"`{tool.name}` of MCP server `{self._connection.server.name}` says that it failed: "
            + (" ".join(said.split())[:300] or "no reason given"),
            details={"said": said, **({"content": content} if len(json.dumps(content)) <= ERROR_MAX else {})},
        )


def without(beginnings: tuple[str, ...], said: Any) -> dict[str, Json]:  # `Any`: JSON
    """An object without the keys that begin so; what is no object is an empty one."""
    given = said if isinstance(said, dict) else {}
    return {key: one for key, one in given.items() if not key.startswith(beginnings)}


async def mark_failure(error: AssentError, others: Collection[str]) -> None:
    """Have an error say what in it may be meant to move a model: all that it holds of the server's own words."""
    data = error.details.get("data")
    if isinstance(data, dict):
        error.details["data"] = without(OURS, data)
    marks = await marks_of_result(error.details, others) or await marks_of_result(
        {"message": error.message}, others
    )
    if marks:
        error.details[MARKS] = marks


def _repeats(content: Any, given: Mapping[str, Json]) -> bool:  # `Any`: JSON
    """Whether content only says in text what is structured beside it, as the protocol advises: all of it, or its one value."""
    if len(content) != 1 or content[0].keys() != {"type", "text"}:
        return False
    text = content[0]["text"]
    try:
        said = json.loads(text)
    except ValueError:
        said = text
    return said == given or (len(given) == 1 and [said] == [*given.values()])


async def revealed(
    context: LocalContext, host: str | None, given: Mapping[str, Any]
) -> Mapping[str, str]:  # `Any`: texts with references
    """What a server is given, with the secrets in it, as this call reads them."""
    read: dict[str, str] = await context.reveal(dict(given), host=host)
    return read
