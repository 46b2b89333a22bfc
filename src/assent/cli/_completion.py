"""Completion for shells: the script, and what may stand where. It must be quick and never fail: no answer is an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import click
from click.shell_completion import CompletionItem, get_completion_class

from assent.cli._command import command
from assent.cli._door import Door
from assent.errors import AssentError
from assent.runtime import service

SHELLS: Final = ("bash", "zsh", "fish")
RUNS_MAX: Final = 100
"""Runs that are offered."""

VARIABLE: Final = "_ASSENT_COMPLETE"
"""How the script asks: click answers when this variable is set."""


@command("completion", watches=False, short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(door: Door, shell: str) -> None:
    """Print the completion script of SHELL; for bash: `source <(assent completion bash)`."""
    found = get_completion_class(shell)
    assert found is not None, "click knows these shells"
    source = found(click.Command("assent"), {}, "assent", VARIABLE).source()
    door.out.tell({"shell": shell, "script": source}, lambda: source.rstrip("\n"))


def _items(
    ctx: click.Context, start: str, give: Callable[[Door], Iterable[tuple[str, str]]]
) -> list[CompletionItem]:
    door = ctx.find_object(Door)
    if door is None:
        return []
    try:
        return [CompletionItem(word, help=help_) for word, help_ in give(door) if word.startswith(start)]
    except (AssentError, OSError, ImportError):
        return []


def complete_run(ctx: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Run ids, newest first, with workflow and status."""

    def give(door: Door) -> Iterable[tuple[str, str]]:
        for run in reversed(door.perform(service.requests.Runs(limit=RUNS_MAX)).runs):
            yield run.run_id, f"{run.workflow or 'call'} {run.status}"

    return _items(ctx, start, give)


def complete_capability(ctx: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Capability ids, with their names; behind an `@`, each with its versions."""

    def give(door: Door) -> Iterable[tuple[str, str]]:
        found = door.perform(service.requests.Capabilities()).capabilities
        return {f"{one.id}@{one.version}" if "@" in start else one.id: one.name for one in found}.items()

    return _items(ctx, start, give)


def complete_version(ctx: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """The versions of the capability that stands before."""

    def give(door: Door) -> Iterable[tuple[str, str]]:
        found = door.perform(service.requests.Capabilities()).capabilities
        return [(one.version, one.name) for one in found if one.id == ctx.params.get("capability")]

    return _items(ctx, start, give)


def complete_input(ctx: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """The parameters of the capability that stands before, as `NAME=`."""

    def give(door: Door) -> Iterable[tuple[str, str]]:
        asked = service.requests.Parameters(reference=str(ctx.params.get("capability")))
        properties = door.perform(asked).schema.get("properties")
        return [(f"{name}=", "") for name in properties] if isinstance(properties, Mapping) else []

    return _items(ctx, start, give)


def complete_plugin(ctx: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """The plugins of the workspace, with how each stands; nothing of them is imported."""

    def give(door: Door) -> Iterable[tuple[str, str]]:
        return [(one.name, one.status) for one in door.perform(service.requests.Plugins()).plugins]

    return _items(ctx, start, give)


def complete_scanner(ctx: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """The scanners that there are manifests of; no program is looked for."""

    def give(door: Door) -> Iterable[tuple[str, str]]:
        found = door.perform(service.requests.Scanners(is_asked=False)).scanners
        return [(one.tool, one.about or one.status) for one in found]

    return _items(ctx, start, give)


def complete_server(ctx: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """The MCP servers of assent.toml, with how each stands; none is asked."""

    def give(door: Door) -> Iterable[tuple[str, str]]:
        return [(one.name, one.status) for one in door.perform(service.requests.Servers()).servers]

    return _items(ctx, start, give)


def complete_code(ctx: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Error codes."""

    def give(_door: Door) -> Iterable[tuple[str, str]]:
        from assent.errors.explanations import explanations

        for code, entry in explanations().items():
            yield code, entry.meaning

    return _items(ctx, start.upper(), give)


def complete_workflow(_ctx: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Files: the shell knows them."""
    return [CompletionItem(start, type="file")]
