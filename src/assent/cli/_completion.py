"""Completion for shells: the script, and what may stand where. It must be quick and never fail: no answer is an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import click
from click.shell_completion import CompletionItem, get_completion_class

from assent.cli._command import command
from assent.cli._door import Door
from assent.cli._json import text
from assent.errors import AssentError

SHELLS: Final = ("bash", "zsh", "fish")
VARIABLE: Final = "_ASSENT_COMPLETE"
"""How the script asks: click answers when this variable is set."""


@command("completion", watches=False, short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(door: Door, shell: str) -> None:
    """Print the completion script of SHELL; for bash: `source <(assent completion bash)`."""
    found = get_completion_class(shell)
    assert found is not None, "click knows these shells"
    source = found(click.Command("assent"), {}, "assent", VARIABLE).source()
    if door.out.is_json:
        door.out.object({"shell": shell, "script": source})
    else:
        door.out.answer(source.rstrip("\n"))


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
        with door.reader() as reader:
            found = reader.runs()
        for run in reversed(found):
            yield text(run, "run_id"), f"{text(run, 'workflow') or 'call'} {text(run, 'status')}"

    return _items(ctx, start, give)


def complete_capability(ctx: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Capability ids, with their names; behind an `@`, each with its versions."""

    def give(door: Door) -> Iterable[tuple[str, str]]:
        found = door.facade.capabilities(door.settings).list()
        return {spec.reference if "@" in start else spec.id: spec.name for spec in found}.items()

    return _items(ctx, start, give)


def complete_version(ctx: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """The versions of the capability that stands before."""

    def give(door: Door) -> Iterable[tuple[str, str]]:
        found = door.facade.capabilities(door.settings).list()
        return [(spec.version, spec.name) for spec in found if spec.id == ctx.params.get("capability")]

    return _items(ctx, start, give)


def complete_input(ctx: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """The parameters of the capability that stands before, as `NAME=`."""

    def give(door: Door) -> Iterable[tuple[str, str]]:
        spec = door.facade.capabilities(door.settings).spoken(str(ctx.params.get("capability")))
        properties = spec.parameters.get("properties")
        return [(f"{name}=", "") for name in properties] if isinstance(properties, Mapping) else []

    return _items(ctx, start, give)


def complete_plugin(ctx: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """The plugins of the workspace, with how each stands; nothing of them is imported."""

    def give(door: Door) -> Iterable[tuple[str, str]]:
        from assent.runtime import api

        return [(one.name, one.state.value) for one in api.plugins(door.settings).list()]

    return _items(ctx, start, give)


def complete_code(ctx: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Error codes."""

    def give(_door: Door) -> Iterable[tuple[str, str]]:
        from assent.errors.catalog import CATALOG

        for code, entry in CATALOG.items():
            yield code, entry.meaning

    return _items(ctx, start.upper(), give)


def complete_workflow(_ctx: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Files: the shell knows them."""
    return [CompletionItem(start, type="file")]
