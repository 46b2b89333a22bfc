"""Commands that share their flags: `--json`, `--workspace`, `--as` … work on each, before and after its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import click

from assent.cli._door import Door
from assent.errors import AssentError
from assent.spec.ids import NEWEST_RUN
from assent.spec.words.sizes import count_text

P = ParamSpec("P")
R = TypeVar("R")

pass_door = click.make_pass_decorator(Door)


def noted(put: Callable[[Door, Any], None]) -> Callable[[click.Context, click.Parameter, Any], None]:
    """A callback of an option that is kept at the door."""

    # `Any`: click hands over whatever the option's own type made of the text.
    def callback(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:
        door = ctx.find_object(Door)
        if door is not None and value not in (None, False):
            put(door, value)

    return callback


def _put_json(door: Door, _value: object) -> None:
    door.out.is_json = True


def _put_yes(door: Door, _value: object) -> None:
    door.flags.yes = True


def _put_workspace(door: Door, value: Path) -> None:
    door.flags.workspace = value


def _put_state(door: Door, value: Path) -> None:
    door.flags.state = value


def _put_policy(door: Door, value: Path) -> None:
    door.flags.policy = value


def _put_principal(door: Door, value: str) -> None:
    door.flags.principal = value


def _put_colour(door: Door, value: str) -> None:
    door.out.set_colour(value)


def shared_options() -> list[click.Option]:
    """The flags that every command takes, anew for each."""
    folder = click.Path(path_type=Path, file_okay=False)
    file = click.Path(path_type=Path, dir_okay=False)
    common: dict[str, Any] = {"expose_value": False, "is_eager": True}  # `Any`: click's own keyword arguments
    return [
        click.Option(
            ["--json"], is_flag=True, help="Answer with JSON on stdout.", callback=noted(_put_json), **common
        ),
        click.Option(
            ["--workspace"],
            type=folder,
            metavar="DIR",
            help="Work in this folder.",
            callback=noted(_put_workspace),
            **common,
        ),
        click.Option(
            ["--state"],
            type=folder,
            metavar="DIR",
            help="Keep the state there.",
            callback=noted(_put_state),
            **common,
        ),
        click.Option(
            ["--policy"],
            type=file,
            metavar="FILE",
            help="Use this policy.",
            callback=noted(_put_policy),
            **common,
        ),
        click.Option(
            ["--as", "principal"],
            metavar="PRINCIPAL",
            help="Act as, for example, `user:alice`.",
            callback=noted(_put_principal),
            **common,
        ),
        click.Option(
            ["--yes"],
            is_flag=True,
            help="Confirm; never answers an approval.",
            callback=noted(_put_yes),
            **common,
        ),
        click.Option(
            ["--color", "--colour", "colour"],
            type=click.Choice(["auto", "always", "never"]),
            help="Use colour.",
            callback=noted(_put_colour),
            **common,
        ),
    ]


def last_option() -> click.Option:
    """What each command takes that is about a run: instead of naming it."""
    return click.Option(
        ["--last"], is_flag=True, expose_value=False, help="The newest run, instead of RUN; so does `@`."
    )


class Command(click.Command):
    """A command with the shared flags. `watches`: it tells of unfinished runs when it is done."""

    def __init__(
        self, *args: Any, watches: bool = True, **kwargs: Any
    ) -> None:  # `Any`: click's own arguments
        super().__init__(*args, **kwargs)
        self.watches = watches
        self._names_a_run = any(
            isinstance(param, click.Argument) and "RUN" in (param.metavar or "") for param in self.params
        )
        if self._names_a_run:
            self.params.append(last_option())
        self.params += shared_options()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # A bare `--wait` would swallow the argument after it: click gives an optional value whatever comes next.
        end = args.index("--") if "--" in args else len(args)
        before = ["--wait=forever" if arg == "--wait" else arg for arg in args[:end]]
        args = [*before, *args[end:]]
        if self._names_a_run and self.make_parser(ctx).parse_args([*args])[0].get("last"):
            args = [NEWEST_RUN, *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> int:
        code = super().invoke(ctx)
        door = ctx.find_object(Door)
        if self.watches and door is not None:
            _tell_of_unfinished_runs(door)
        return code if isinstance(code, int) else 0


def command(
    name: str, *, watches: bool = True, **attributes: Any
) -> Callable[[Callable[Concatenate[Door, P], R]], Command]:  # `Any`: click's own attributes of a command
    """Makes a function that takes the door first, and gives an exit code or nothing, into a command."""

    def decorate(function: Callable[Concatenate[Door, P], R]) -> Command:
        made = click.command(name, cls=Command, watches=watches, **attributes)(pass_door(function))
        assert isinstance(made, Command)
        return made

    return decorate


def _tell_of_unfinished_runs(door: Door) -> None:
    """One line about runs that nobody drives. It must never change how the command itself ended."""
    if not door.has_resolved or not door.settings.state.is_dir():
        return
    from assent.runtime.service.requests import Unfinished

    try:
        count = door.perform(Unfinished()).count
    except AssentError:
        return
    if count:
        door.out.note(f"{count_text(count, 'unfinished run')}: {door.command('resume')}")


class Lazy(NamedTuple):
    """A command that is imported when it is called: its module, its name there, and its line in `--help`."""

    module: str
    attribute: str
    summary: str


def lazy(package: str, *rows: tuple[str, str, str, str]) -> dict[str, Lazy]:
    """Commands by their names, from rows of name, module in the package, name there, and summary."""
    return {
        name: Lazy(f"{package}.{module}", attribute, summary) for name, module, attribute, summary in rows
    }


class Group(click.Group):
    """A group with the shared flags, some of whose commands are loaded only when they are asked for."""

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy] | None = None, **kwargs: Any) -> None:
        # `Any`: click's own arguments
        super().__init__(*args, **kwargs)
        self.lazy = lazy or {}
        self.params += shared_options()

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.lazy, *self._shown(ctx)]

    def _shown(self, ctx: click.Context) -> list[str]:
        return [name for name in super().list_commands(ctx) if not self.commands[name].hidden]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = self.lazy.get(cmd_name)
        if found is None:
            return super().get_command(ctx, cmd_name)
        loaded: object = getattr(import_module(found.module), found.attribute)
        assert isinstance(loaded, click.Command), f"`{found.attribute}` is a command"
        return loaded

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command_name(args[0]) is None and not args[0].startswith("-"):
            from assent.spec.words.suggestions import suggest

            known = self.list_commands(ctx)
            near = suggest(args[0], known)
            hint = f"did you mean `{near}`?" if near else f"commands: {', '.join(known)}"
            raise NoSuchCommand(args[0], hint, ctx)
        return super().resolve_command(ctx, args)

    def get_command_name(self, word: str) -> str | None:
        """The command that a word names, without loading it."""
        return word if word in self.lazy or word in self.commands else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, entry.summary) for name, entry in self.lazy.items()]
        rows += [(name, self.commands[name].get_short_help_str(100)) for name in self._shown(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


class NoSuchCommand(click.UsageError):
    """A word that is no command, with the one it probably was meant to be."""

    def __init__(self, word: str, hint: str, ctx: click.Context) -> None:
        super().__init__(f"there is no command `{word}`", ctx)
        self.hint = hint


def group(name: str, *commands: Sequence[click.Command] | click.Command, help: str) -> Group:  # noqa: A002 - click's own word
    """A group of commands that live in one module."""
    made = Group(name, help=help, no_args_is_help=True)
    for entry in commands:
        assert isinstance(entry, click.Command)
        made.add_command(entry)
    return made
