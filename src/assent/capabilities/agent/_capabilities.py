"""What an agent's own tools do, as acts that policies speak of. `assent hook` asks about each; performing them is the host's.

A step of one of these says that the agent was permitted, and not that it did it. What came of it is told afterwards, by another.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from assent.capabilities.agent import Barrier
from assent.capabilities.describing import describe, reads
from assent.invocation import LocalContext, Preview, Reconciliation
from assent.spec.capability import SpecModel
from assent.spec.spelled_fields import HOST_PATH_FORMAT
from assent.spec.states import Verdict
from assent.spec.types import PATH_BYTES_MAX, Url

ERROR_MAX: Final = 2000
"""Characters that are kept of why a call failed."""

HostPath = Annotated[
    str,
    Field(
        min_length=1,
        max_length=PATH_BYTES_MAX,
        description="relative to the workspace where it is below that, else in full",
        json_schema_extra={"format": HOST_PATH_FORMAT},
    ),
]


class Use(SpecModel):
    """A tool of the agent's program, and what it is given."""

    tool: Annotated[str, Field(min_length=1, max_length=256, description="what the program calls it")]
    # `Any`: whatever JSON the tool takes
    input: dict[str, Any] = Field(default_factory=dict, description="what else it is given")


class Shell(Use):
    """A command of a shell, and where it begins."""

    command: Annotated[str, Field(min_length=1)]
    cwd: HostPath = "."


class OnPath(Use):
    """A file or folder."""

    path: HostPath


class Fetch(Use):
    """A web address."""

    url: Url


class Outcome(SpecModel):
    """What came of a call, in the words of the agent's program."""

    tool: Annotated[str, Field(max_length=256, description="what the program calls it")] = ""
    outcome: Annotated[Literal["ok", "failed"], Field(description="what came of it")]
    request: Annotated[
        str, Field(max_length=256, description="the request of the call: that of the step that permitted it")
    ]
    error: Annotated[
        str | None, Field(max_length=ERROR_MAX, description="why it failed, as far as that was told")
    ] = None


class Noted(SpecModel):
    """That the program told so; nobody here has seen it."""

    noted: bool = True


class Permitted(SpecModel):
    """That the agent was permitted; whether it then did it, nobody here can say."""

    permitted: bool = True


async def never_happened() -> Reconciliation:
    """What a crash cut short was permitted to nobody, so it may be put on record anew."""
    return Reconciliation(Verdict.NO)


async def nothing_to_undo() -> None:
    """Who asked has changed nothing."""


async def run_shell(parameters: Shell) -> Permitted:
    """Nothing but the record of it."""
    del parameters
    return Permitted()


async def fetch_page(parameters: Fetch) -> Permitted:
    """Nothing but the record of it."""
    del parameters
    return Permitted()


async def use_tool(parameters: Use) -> Permitted:
    """Nothing but the record of it."""
    del parameters
    return Permitted()


async def note_outcome(parameters: Outcome) -> Noted:
    """Nothing but the record of it."""
    del parameters
    return Noted()


class Touch:
    """An act on a path, which may be out of reach of every agent."""

    def __init__(self, *, changes: bool) -> None:
        self._changes = changes

    async def preview(self, context: LocalContext, parameters: OnPath) -> Preview:
        """Nothing can be looked at beforehand; what is out of reach is refused before anybody is asked. `PATH_PROTECTED`."""
        await self.execute(context, parameters)
        return Preview(changes=self._changes)

    async def execute(self, context: LocalContext, parameters: OnPath) -> Permitted:
        """Nothing but the record of it. `PATH_PROTECTED`, also where a link leads elsewhere by now."""
        context.app.get(Barrier).require_open(parameters.path, changes=self._changes)
        return Permitted()


_UNSEEN: Final = {"preview": "the agent's own program acts, and nothing of it can be looked at beforehand"}
_KEPT: Final = {"compensate": "Assent did nothing that it could take back: the agent's own program acts"}

_act: Final = partial(describe, reconcile=never_happened)
_acts_blindly: Final = partial(_act, reversible=False, scope="system", without={**_KEPT, **_UNSEEN})

CAPABILITIES: Final = (
    _acts_blindly(
        "agent.shell",
        "An agent runs a command in a shell of its own program",
        run_shell,
        operation="EXECUTE",
        risk="CRITICAL",
        justification="a command can do whatever the account may, and nothing confines it or takes it back",
        effect="whatever the command does",
        labels=("reads_private", "reads_untrusted", "sends_external"),
    ),
    _act(
        "agent.edit",
        "An agent changes a file with a tool of its own program",
        Touch(changes=True),
        operation="WRITE",
        risk="CRITICAL",
        reversible=False,
        scope="filesystem",
        without=_KEPT,
        justification="Assent keeps no copy of what was there, so nothing takes it back",
        effect="creates or changes a file",
    ),
    reads(
        "agent.read",
        "An agent reads or searches files with a tool of its own program",
        Touch(changes=False),
        labels=("reads_private",),
    ),
    _act(
        "agent.fetch",
        "An agent fetches a web page with a tool of its own program",
        fetch_page,
        operation="NETWORK",
        risk="MEDIUM",
        justification="only asks, but what it asks goes out, and what it gets comes from a stranger",
        reversible=True,
        scope="none",
        effect="asks a server for a page",
        compensate=nothing_to_undo,
        compensation="nothing_to_undo",
        without=_UNSEEN,
        labels=("reads_untrusted", "sends_external"),
    ),
    _acts_blindly(
        "agent.tool",
        "An agent uses another tool of its own program, such as one of an MCP server",
        use_tool,
        operation="EXECUTE",
        risk="CRITICAL",
        justification="nobody here knows what the tool does",
        effect="whatever the tool does",
        labels=("reads_private", "reads_untrusted", "sends_external"),
    ),
    reads(
        "agent.outcome",
        "An agent's own program tells what came of a call that the agent was permitted to make",
        note_outcome,
        justification="it changes nothing: what it tells of has come to pass",
    ),
    reads(
        "agent.plan",
        "An agent arranges its own work: a list of tasks, a question to its user, a helper whose acts are asked about too",
        use_tool,
        justification="it changes nothing beyond the agent's own program",
    ),
)
