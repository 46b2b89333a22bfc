"""The tree of commands. Each line of the table is loaded when its command is called."""

from __future__ import annotations

from typing import Final

import click

from assent.cli._command import Group, lazy
from assent.cli._door import Door

COMMANDS: Final = lazy(
    "assent.cli",
    ("init", "_init", "init", "Set a workspace up: configuration, policy, state."),
    ("plan", "runs._plan", "plan", "Show what a workflow would do; changes nothing."),
    ("run", "runs._run", "run", "Run a workflow file or a saved plan."),
    ("call", "runs._run", "call", "Call one capability."),
    ("runs", "runs._history", "runs", "List the runs."),
    ("show", "runs._history", "show", "Show a run: failure first, then its timeline."),
    (
        "replay",
        "runs._replay",
        "replay",
        "Run a recorded run again, touching nothing; tell what differs.",
    ),
    ("approvals", "runs._interventions", "approvals", "List what waits for an approval."),
    ("approve", "runs._interventions", "approve", "Approve a waiting step; the run goes on."),
    ("reject", "runs._interventions", "reject", "Reject a waiting step; the run rolls back."),
    ("resolve", "runs._interventions", "resolve", "Say what happened to a step that is in doubt."),
    ("cancel", "runs._interventions", "cancel", "Stop a run between effects and roll it back."),
    ("signal", "runs._interventions", "signal", "Send a run a signal that it waits for."),
    ("close", "runs._interventions", "close", "End a session: no more steps, and what it did stays."),
    ("resume", "runs._run", "resume", "Go on with unfinished runs."),
    ("undo", "runs._interventions", "undo", "Take back everything a finished run did."),
    (
        "deliveries",
        "record._deliveries",
        "deliveries",
        "List webhooks on their way; retry and cancel them.",
    ),
    ("schedule", "runs._schedule", "schedule", "Have workflows run at their times."),
    ("audit", "record._audit", "audit", "Read, verify, prove and export the ledger."),
    ("prune", "record._prune", "prune", "Erase what old runs and plans hold."),
    ("serve", "_serve", "serve", "Serve this state to other programs until told to end."),
    ("pipe", "_serve", "pipe", "Serve one program through standard input and output."),
    (
        "mcp",
        "_serve",
        "mcp",
        "Serve one agent through standard input and output; name MCP servers of others.",
    ),
    ("hook", "hook._group", "hook", "Ask the gate before an agent's own tools are used."),
    ("policy", "_policy", "policy", "Check, explain and test the policy."),
    ("capability", "_capability", "capability", "List and show capabilities, and govern their versions."),
    ("plugin", "plugins._group", "plugin", "Inspect, trust, make and test plugins."),
    (
        "findings",
        "findings._group",
        "findings",
        "Import what scanners wrote; list, decide about and export findings.",
    ),
    (
        "knowledge",
        "knowledge._group",
        "knowledge",
        "Index what the workspace holds, and search it.",
    ),
    ("scan", "scans._group", "scan", "List scanners, and run one within the written scope."),
    (
        "resource",
        "_resource",
        "resource",
        "Keep word lists, templates and the like for scans, by reference.",
    ),
    ("secrets", "_secrets", "secrets", "Store, list and replace secrets, and find who uses one."),
    ("key", "_keys", "key", "Make, list and revoke keys with which programs come in."),
    ("explain", "_words", "explain", "Explain an error code."),
    (
        "doctor",
        "_doctor",
        "doctor",
        "Show every setting with its source, and the health of the state.",
    ),
    ("demo", "demo", "demo", "A minute with Assent on real files."),
    ("completion", "_completion", "completion", "Print the completion script of a shell."),
    ("help", "_words", "help_topics", "Help on a command or a topic (`workflow`)."),
    ("version", "_words", "version", "Print the version."),
)


def _version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's own signature
    if value and not ctx.resilient_parsing:
        from assent.cli._words import say_version

        door = ctx.find_object(Door)
        assert door is not None
        say_version(door)
        ctx.exit()


def _help_when_alone(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is not None:
        return
    door = ctx.find_object(Door)
    if door is not None and door.out.is_json:
        raise click.UsageError("missing command", ctx)  # Help is no JSON.
    click.echo(ctx.get_help())


def build() -> Group:
    """The root command."""
    root = Group(
        "assent",
        lazy=COMMANDS,
        help="Typed, gated, durable, undoable and provable actions for agents and automation.",
        invoke_without_command=True,
        callback=click.pass_context(_help_when_alone),
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
        epilog="Exit codes: assent help exit-codes",
    )
    root.params.append(
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_version,
            help="Print the version.",
        )
    )
    return root
