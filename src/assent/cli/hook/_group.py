"""`assent hook`: the commands as click knows them; what an agent's program starts goes past it (`_entry.py`)."""

from __future__ import annotations

import click

from assent.cli._command import command, group
from assent.cli._door import Door
from assent.cli.hook._entry import serve
from assent.cli.hook._place import PATIENCE

_patience = click.option(
    "--patience", default=PATIENCE, show_default=True, metavar="TIME", help="How long a person is waited for."
)


def _answer(door: Door, name: str, patience: str) -> None:
    flags = door.flags
    said = {"workspace": flags.workspace, "state": flags.state, "policy": flags.policy, "as": flags.principal}
    serve(
        name,
        {**{name: str(value) for name, value in said.items() if value is not None}, "patience": patience},
    )


@command("claude-code", watches=False, short_help="Answer a hook of Claude Code.")
@_patience
def claude_code(door: Door, patience: str) -> None:
    """Read one call of a tool from standard input and say whether it may be used (docs/hooks.md); also that a session ends.

    The agent acts as `agent:claude-code`, or as `--as` says; never as a person. Ends with 2 where it can't answer, which denies.
    """
    _answer(door, "claude-code", patience)


@command("ask", watches=False, short_help="Answer any other agent's program.")
@_patience
def ask(door: Door, patience: str) -> None:
    """The same in the JSON that docs/hooks.md describes, for programs that have hooks of another kind; as `agent:hook`."""
    _answer(door, "ask", patience)


hook = group("hook", claude_code, ask, help="Ask the gate before an agent's own tools are used.")
