"""`assent demo`: a minute with Assent on real files, told by real commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from assent.cli._command import command
from assent.cli._door import Door
from assent.cli._exit import OK, REFUSED, WAITING
from assent.errors import AssentError, InputError

if TYPE_CHECKING:
    from assent.cli.demo._story import Choice


@command("demo", watches=False, short_help="A minute with Assent on real files.")
@click.option("--yes-demo", is_flag=True, help="Approve the demo's own steps without asking.")
@click.option("--keep", type=click.Path(path_type=Path), metavar="DIR", help="Work in this new folder.")
def demo(door: Door, *, yes_demo: bool, keep: Path | None) -> int:
    """Release a copy of modules of Assent's own: planned, stopped, approved, killed, resumed, rolled back, undone, proved.

    Needs no network, no account and no server, and touches nothing outside a new folder. In a terminal it waits for your own
    approval; `--yes-demo` gives it, and removes the folder unless `--keep` names it. Exits 0 only if all happened as it says.
    """
    from assent.cli.demo._folder import make_folder
    from assent.cli.demo._stage import Stage
    from assent.cli.demo._story import Story, Undecided

    if not yes_demo and not door.can_ask:
        raise InputError(
            "USAGE_INVALID",
            "the demo asks for your approval, and there is no terminal to ask in",
            hint="assent demo --yes-demo",
        )
    folder = make_folder(None if keep is None else door.cwd / keep, door.environ)
    stage = Stage(door.out, folder.project, folder.environ)
    story = Story(stage, folder, _agree if yes_demo else lambda: ask(door))
    # Nobody who is not there looks around in it; where something goes wrong it stays as it is.
    is_kept = keep is not None or not yes_demo
    code = OK
    try:
        story.play()
    except Undecided as decided:
        code = REFUSED if decided.choice == "reject" else WAITING
    except (AssentError, KeyboardInterrupt, click.Abort):
        door.out.note(f"\nthe folder of the demo is left as it stands: {folder.root}")
        raise
    if door.out.is_json:
        facts = story.facts
        door.out.object(
            {
                "folder": str(folder.root),
                "kept": is_kept,
                "completed": code == OK,
                "facts": facts,
                "commands": [*stage.commands],
            }
        )
    else:
        stage.say(story.last_words(is_complete=code == OK, is_kept=is_kept))
    if not is_kept:
        folder.remove()
    return code


def _agree() -> Choice:
    return "approve"


def ask(door: Door) -> Choice:
    """The reader's own decision, by one key; any other key decides nothing, nor does one pressed before the question."""
    import termios

    termios.tcflush(0, termios.TCIFLUSH)
    paint = door.out.paint(stderr=True)
    door.out.note(paint("Your decision: [a]pprove  [r]eject  [l]ater", "yellow"))
    choices: dict[str, Choice] = {"a": "approve", "r": "reject", "l": "later", "\x04": "later"}
    while True:
        for key in click.getchar().lower() or "\x04":  # Keys pressed in quick succession come as one.
            if key in choices:
                door.out.note(f"  {choices[key]}\n")
                return choices[key]
        door.out.note("  nothing was decided: press a, r or l")
