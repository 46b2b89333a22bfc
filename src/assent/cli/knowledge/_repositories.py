"""`assent knowledge add` and `watch`: what of the workspace can be searched, and that it stays so."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

import click

from assent.capabilities.knowledge.area import WHOLE
from assent.cli._command import command
from assent.cli._door import Door
from assent.cli._exit import FAILED, OK, OWNED, error_exit_code
from assent.cli.knowledge._acts import repositories_option
from assent.cli.runs._drive import conclude
from assent.cli.runs._progress import Progress
from assent.errors import AssentError, InputError, Json
from assent.runtime import service
from assent.spec.words.durations import parse_duration_ms
from assent.spec.words.legible import safe_line
from assent.spec.words.sizes import count_text

_IDLE_MS: Final = 60_000
_RETRY_MS: Final = 1_000
"""After a batch that failed so long nothing is tried, then twice as long each time."""
_RETRY_MAX_MS: Final = 5 * 60_000
_PLACES_MAX: Final = 1_000
"""Of a batch; where something happened at more, the whole repository is looked at."""
_MAY_PASS: Final = (FAILED, OWNED)
"""How a batch may end that is tried again: what the world failed at. Where policy says no, it would say so each time."""


@command("add", watches=False, short_help="Write a folder into assent.toml, to be indexed.")
@click.argument("folder", metavar="PATH", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="What the repository is called; without it as the folder is.")
@click.option("--label", "labels", metavar="LABEL", multiple=True, help="A label of all its files.")
@click.option(
    "--role", "roles", metavar="ROLE", multiple=True, help="Who may see what has a label that is new."
)
def add(door: Door, folder: Path, name: str | None, labels: tuple[str, ...], roles: tuple[str, ...]) -> None:
    """Have the folder PATH of the workspace as a repository: it is written into assent.toml, and nothing of it is read."""
    place = str(door.cwd / folder)
    written = door.perform(
        service.requests.AddRepository(folder=place, name=name, labels=[*labels], roles=[*roles])
    )
    if door.out.is_json:
        door.out.object(written)
        return
    labelled = "".join(f", with the label `{one}`" for one in written.labels)
    door.out.answer(
        f"`{safe_line(written.folder)}` is the repository `{written.name}`{labelled}: {safe_line(written.path)}"
    )
    if written.replaces_whole:
        door.out.note(
            "it is the first that is named: the whole workspace is no repository any more, and what was indexed of it"
            f" is searched with `-r {WHOLE}` alone"
        )
    door.out.note(f"to see what would be read: {door.command('knowledge', 'plan', '-r', written.name)}")
    door.out.note(f"to index it: {door.command('knowledge', 'index', '-r', written.name)}")


@command("watch", watches=False, short_help="Index what changes, as long as it runs.")
@repositories_option
@click.option(
    "--sweep", metavar="TIME", default="10m", help="How often all is looked at, beside what is told."
)
def watch(door: Door, *, repositories: tuple[str, ...], sweep: str) -> int:
    """Index each repository now, and again whenever something in it changes.

    Each time is a run like any other. Ctrl-C ends it, and so does a policy that does not let it index by itself.
    """
    try:
        sweep_ms = parse_duration_ms(int(sweep) if sweep.isdecimal() else sweep)
    except ValueError as error:
        raise InputError("USAGE_INVALID", f"`--sweep` {error}", hint="for example `--sweep 10m`") from None
    from assent.runtime.service.knowledge_admin import following

    try:
        with following(door.settings, repositories, sweep_ms) as found:
            door.out.note(f"watches {', '.join(map(safe_line, found.folders))} (Ctrl-C ends it)")
            return _follow(door, found.next)
    except KeyboardInterrupt as error:
        if getattr(error, "run_id", None) is not None:
            raise  # a run was under way
        door.out.note("watched no more")
        return OK


def _follow(door: Door, next_due: Callable[[int], dict[str, set[str]]]) -> int:
    """Index what is due until somebody ends it, or a batch ends as the next one would."""
    from assent.system import SystemClock

    clock = SystemClock()
    due: dict[str, set[str]] = {}
    tried_again_at = pause_ms = 0
    while not door.out.is_closed:
        now = clock.monotonic_ms()
        for name, places in next_due(max(1, tried_again_at - now) if due else _IDLE_MS).items():
            due.setdefault(name, set()).update(places)
        if not due or clock.monotonic_ms() < tried_again_at:
            continue
        for name in sorted(due):
            code = _index(door, name, due[name])
            if code not in (OK, *_MAY_PASS):
                return code
            if code == OK:
                del due[name]
        pause_ms = min(2 * pause_ms or _RETRY_MS, _RETRY_MAX_MS) if due else 0
        tried_again_at = clock.monotonic_ms() + pause_ms
        if due:
            door.out.note(f"it is tried again in {pause_ms // 1_000} s: {', '.join(sorted(due))}")
    return OK


def _index(door: Door, repository: str, places: Collection[str]) -> int:
    """Have a repository indexed where something happened; the exit code. An error that may pass is told, any other raised."""
    within: list[Json] = [*sorted(places)] if len(places) <= _PLACES_MAX else []
    request = service.requests.Call(
        capability="knowledge.index",
        parameters={"repository": repository, "within": within},
        environment=door.settings.environment,
    )
    try:
        run = door.perform(request, None if door.is_quiet else Progress(door.out, of_a_call=True))
        if run.status != "succeeded":
            return conclude(door, run, wait_ms=None)
    except AssentError as error:
        code = error_exit_code(error, door.operation)
        if code not in _MAY_PASS:
            raise
        from assent.cli.terminal._error_text import error_text

        door.out.note(error_text(error, paint=door.out.paint(stderr=True)))
        return code
    found: Any = run.outputs  # `Any`: JSON
    door.out.tell(
        run,
        lambda: (
            f"{safe_line(repository)}: {count_text(found['changed'], 'file')} indexed, {found['removed']} removed,"
            f" {found['files']} in all, generation {found['generation']}  {run.run_id}"
        ),
    )
    return OK
