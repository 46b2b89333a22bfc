"""`assent scan tools` and `run`: which scanners are here, and one of them run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from assent.cli._command import command
from assent.cli._completion import complete_scanner
from assent.cli._door import Door
from assent.cli.findings._options import fail_on_option, project_said
from assent.cli.runs._drive import read_wait
from assent.cli.runs._run import id_option, quiet_option, wait_option
from assent.cli.scans._outcome import driven, project_option
from assent.cli.terminal._style import Paint
from assent.cli.terminal._table import table
from assent.errors import InputError
from assent.runtime import service
from assent.spec.words.legible import safe_line
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    from assent.errors import Json
    from assent.runtime.service import answers

_STYLES: Final = {"ready": "green", "refused": "red", "invalid": "red"}


@command("tools", watches=False, short_help="List scanners, and which are here.")
@click.argument("name", required=False, shell_complete=complete_scanner)
@click.option("--test", "is_tested", is_flag=True, help="Run NAME over the files of its self-test, too.")
def tools(door: Door, name: str | None, *, is_tested: bool) -> None:
    """List the scanners that there are manifests of: which are here, of what version, and whether their file is pinned.

    Each program is asked for its version, confined and without a network, so that another one of the same name is told apart.
    With NAME, show one with its options.
    """
    if is_tested and name is None:
        raise InputError("USAGE_INVALID", "`--test` needs a NAME", hint="assent scan tools bandit --test")
    tested = name if is_tested else None
    found = door.perform(service.requests.Scanners(tested=tested)).scanners
    if name is None or door.out.is_json:
        door.out.listing(
            found if name is None else [_of(found, name)],
            _row,
            head=["scanner", "kind", "status", "version", "pinned", "looks at"],
            none="there are no scanners",
        )
        return
    door.out.answer(_shown(_of(found, name), door.out.paint()))


def _row(one: answers.Scanner, paint: Paint) -> list[str]:
    says = one.about or ""
    if one.error is not None and one.status != "missing":
        says = f"{one.error.message} [{one.error.code}]"
    untried = one.version is not None and one.version not in one.tried
    return [
        one.tool,
        one.kind or "",
        paint(one.status, _STYLES.get(one.status)),
        safe_line(f"{one.version or ''}{' (untried)' if untried else ''}"),
        "pinned" if one.pinned else "",
        safe_line(says, 200),
    ]


def _shown(one: answers.Scanner, paint: Paint) -> str:
    facts = [
        ["kind", one.kind or ""],
        ["target", one.target or ""],
        ["manifest", one.source],
        ["tried with", ", ".join(one.tried) or "nothing: made from documentation alone"],
        ["status", paint(one.status, _STYLES.get(one.status))],
        ["why", "" if one.error is None else f"{one.error.message} [{one.error.code}]"],
        ["where", (one.error and one.status == "invalid" and one.error.path) or ""],
        ["help", (one.error and one.error.hint) or ""],
        ["program", one.path or ""],
        ["version", one.version or ""],
        ["self-test", one.self_test or ""],
        ["sha256", f"{one.sha256}{' (pinned)' if one.pinned else ''}" if one.sha256 else ""],
    ]
    options = [
        [
            safe_line(said.name),
            safe_line(said.form, 60),
            "required" if said.required else "",
            safe_line(said.about),
        ]
        for said in one.options
    ]
    blocks = [
        f"{paint(one.tool, 'bold')}  {safe_line(one.title or '')}: {safe_line(one.about or '')}",
        table([[name, safe_line(value)] for name, value in facts if value], paint=paint, indent="  "),
        "options\n" + (table(options, paint=paint, indent="  ") if options else "  none"),
    ]
    return "\n\n".join(blocks)


def _of(found: list[answers.Scanner], name: str) -> answers.Scanner:
    known = {one.tool: one for one in found}
    if name not in known:
        raise InputError(
            "SCANNER_UNKNOWN",
            f"there is no scanner `{safe_line(name, 64)}`",
            hint=did_you_mean(name, known, otherwise="`assent scan tools` lists them"),
        )
    return known[name]


@command("run", short_help="Run one scanner.")
@click.argument("tool", shell_complete=complete_scanner)
@click.argument("target")
@project_option
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="An option of the scanner.")
@fail_on_option("a finding that the scan read, and is open,")
@wait_option
@id_option
@quiet_option
def run(
    door: Door,
    tool: str,
    target: str,
    *,
    project: str,
    options: tuple[str, ...],
    fail_on: str | None,
    wait: str | None,
    ident: str | None,
) -> int:
    """Run the scanner TOOL on TARGET: a URL, a host or a network within the scope, or a path of the workspace.

    It is a call of `scan.active`, `scan.passive` or `scan.static`, whichever the scanner is for: gated and recorded, and
    `assent undo` takes its findings back.
    """
    wait_ms = read_wait(wait)
    given: dict[str, Json] = {}
    for one in options:
        name, sign, value = one.partition("=")
        if not name or not sign:
            message = f"`--option` takes NAME=VALUE, not `{safe_line(one, 60)}`"
            raise InputError("USAGE_INVALID", message, hint="`assent scan tools TOOL` lists the options")
        given[name] = value
    scanner = _of(door.perform(service.requests.Scanners(is_asked=False)).scanners, tool)
    if scanner.error is not None:
        raise InputError(
            scanner.error.code, scanner.error.message, path=scanner.error.path, hint=scanner.error.hint
        )
    project = project_said(door, project)
    request = service.requests.Call(
        capability=f"scan.{scanner.kind}",
        parameters={"tool": tool, "target": target, "project": project, "options": given},
        environment=door.settings.environment,
    )
    return driven(door, request, project=project, wait_ms=wait_ms, ident=ident, fail_on=fail_on)
