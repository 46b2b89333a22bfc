"""`assent explain`, `help` and `version`: words about Assent itself; no state is touched."""

from __future__ import annotations

import click

from assent import __version__
from assent.cli._command import Group, command
from assent.cli._completion import complete_code
from assent.cli._door import Door
from assent.errors import InputError, Json


@command("explain", watches=False, short_help="Explain an error code.")
@click.argument("code", shell_complete=complete_code)
def explain(door: Door, code: str) -> None:
    """Explain an error CODE: what it means, and what to do about it."""
    from assent.errors.explanations import explanations
    from assent.spec.words.suggestions import did_you_mean

    known = explanations()
    entry = known.get(code.upper())
    if entry is None:
        hint = did_you_mean(code.upper(), known, otherwise="codes stand in brackets at the end of an error")
        raise InputError("USAGE_INVALID", f"there is no error code `{code}`", hint=hint)
    door.out.tell(
        {"code": code.upper(), "meaning": entry.meaning, "remedy": entry.remedy},
        lambda: f"{door.out.paint()(code.upper(), 'bold')}\n\n{entry.meaning}\n\n{entry.remedy}",
    )


def say_version(door: Door) -> None:
    """The version, as `assent version` and `assent --version` print it."""
    door.out.tell({"version": __version__}, lambda: f"assent {__version__}")


@command("version", watches=False, short_help="Print the version.")
def version(door: Door) -> None:
    """Print the version."""
    say_version(door)


@command("help", watches=False, short_help="Help on a command or a topic (`workflow`).")
@click.argument("words", nargs=-1, metavar="[COMMAND|TOPIC]...")
def help_topics(door: Door, words: tuple[str, ...]) -> None:
    r"""Help on a command (`assent help audit verify`), or on a topic.

    \b
    workflow         every key of a workflow file; with --json its JSON Schema
    policy           every key of a policy file; with --json its JSON Schema
    capability-spec  every field of a capability's spec; with --json its JSON Schema
    exit-codes       what the numbers mean with which commands end
    environment      the variables that are looked at
    """
    from assent.spec.words.suggestions import did_you_mean

    topic = _TOPICS.get(" ".join(words))
    if topic is not None:
        topic(door)
        return
    context = click.get_current_context().find_root()
    current: click.Command = context.command
    for word in words:
        found = current.get_command(context, word) if isinstance(current, Group) else None
        if found is None:
            otherwise = f"topics: {', '.join(_TOPICS)}; commands: assent --help"
            hint = did_you_mean(" ".join(words), _TOPICS, otherwise=otherwise)
            raise InputError("USAGE_INVALID", f"there is no help on `{' '.join(words)}`", hint=hint)
        context, current = click.Context(found, info_name=word, parent=context), found
    door.out.answer(current.get_help(context))


def _exit_codes(door: Door) -> None:
    from assent.cli._exit import MEANINGS
    from assent.cli.terminal._table import table

    rows = [[f"{code:>3}", meaning] for code, meaning in MEANINGS.items()]
    door.out.tell(
        [{"code": code, "meaning": meaning} for code, meaning in MEANINGS.items()],
        lambda: table(rows, paint=door.out.paint()),
    )


def _environment(door: Door) -> None:
    from assent.cli.terminal._table import table
    from assent.runtime.settings.effective import VARIABLES

    told = {variable: f"the setting `{name}`" for name, variable in VARIABLES.items()}
    told |= {
        "NO_COLOR": "no colour, whatever its value",
        "CLICOLOR_FORCE": "colour, also into a pipe",
        "CLICOLOR": "`0`: no colour",
        "XDG_CONFIG_HOME": "where `assent/config.toml` and the ledgers' keys are",
        "XDG_RUNTIME_DIR": "where the owner of a state directory listens",
    }
    if door.out.is_json:
        door.out.object([{"variable": name, "meaning": meaning} for name, meaning in told.items()])
        return
    order = (
        "flag > ASSENT_* > assent.toml > the user's config.toml > default; `assent doctor` shows what holds"
    )
    door.out.answer(f"{table([[*row] for row in told.items()], paint=door.out.paint())}\n\n{order}")


def _capability_spec(door: Door) -> None:
    from assent.spec.capability_schema import capability_schema

    _file(door, capability_schema())


def _workflow(door: Door) -> None:
    from assent.spec.workflow.schema import workflow_schema

    _file(door, workflow_schema())


def _policy(door: Door) -> None:
    from assent.policy import policy_schema

    _file(door, policy_schema())


def _file(door: Door, schema: dict[str, Json]) -> None:
    from assent.spec.schemas.written import reference

    if door.out.is_json:
        door.out.object(schema)
        return
    page = click.get_current_context().make_formatter()
    for name, meaning, keys in reference(schema):
        page.write(f"{click.wrap_text(f'{name}: {meaning[0].lower()}{meaning[1:]}', page.width)}\n")
        with page.indentation():
            page.write_dl([(one.name, _plain(f"{one.meaning} ({one.form})")) for one in keys])
        page.write_paragraph()
    door.out.answer(page.getvalue().rstrip())


def _plain(text: str) -> str:
    return text.replace("**", "")


_TOPICS = {
    "workflow": _workflow,
    "policy": _policy,
    "capability-spec": _capability_spec,
    "exit-codes": _exit_codes,
    "environment": _environment,
}
