"""A command exists when it is documented: every command and option has its place in `docs/cli.md`, and nothing else has."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from assent.cli._command import Group, last_option, shared_options
from assent.cli._exit import MEANINGS
from assent.cli._root import COMMANDS, build
from assent.runtime.settings._configuration import PROJECT_SCHEMA
from assent.runtime.settings.effective import VARIABLES


def commands(group: Group, *path: str) -> dict[str, click.Command]:
    """Every command by its words."""
    context = click.Context(group)
    found: dict[str, click.Command] = {}
    for name in group.list_commands(context):
        below = group.get_command(context, name)
        if isinstance(below, Group):
            found |= commands(below, *path, name)
        else:
            assert below is not None, name
            found[" ".join((*path, name))] = below
    return found


ALL = commands(build())
SHARED = {option for parameter in [*shared_options(), last_option()] for option in parameter.opts}


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "cli.md").read_text(encoding="utf-8")


def sections(page: str) -> dict[str, str]:
    """The text under each `### assent …` heading."""
    parts = re.split(r"^### assent (.+)$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_page_has_the_commands_that_exist_and_no_others(page: str) -> None:
    assert sorted(sections(page)) == sorted(ALL)


@pytest.mark.parametrize("name", ALL)
def test_every_option_of_a_command_is_documented(page: str, name: str) -> None:
    command = ALL[name]
    section = sections(page)[name]
    own = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
    assert [option for option in own if option not in SHARED and f"`{option}" not in section] == []


def test_every_shared_option_is_documented_once_for_all(page: str) -> None:
    front = page.split("\n## Setting up", maxsplit=1)[0]
    assert [option for option in SHARED if option.startswith("--") and f"`{option}" not in front] == []


def test_every_exit_code_is_documented(page: str) -> None:
    """As `assent help exit-codes` prints them, word for word."""
    part = page.partition("### Exit codes")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", part, re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == MEANINGS


def test_every_variable_and_setting_is_documented(page: str) -> None:
    limits = PROJECT_SCHEMA["limits"]
    assert isinstance(limits, dict)
    names = [*VARIABLES.values(), *limits, "[identity]", "[identity.users.", "[identity.agents.", "strict"]
    assert [name for name in names if name not in page] == []


def test_every_line_of_the_help_says_what_the_command_says_of_itself() -> None:
    """The table of lazily loaded commands repeats each one's summary; here the two are held together."""
    for name, entry in COMMANDS.items():
        if name in ALL:  # Groups are not.
            assert entry.summary == ALL[name].short_help, name
