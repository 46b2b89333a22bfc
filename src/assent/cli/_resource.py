"""`assent resource`: what scans are made with, as versions that never change. What changes the registry is a governed call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from assent.cli._command import command, group
from assent.cli._door import Door
from assent.cli._handing import hand_over
from assent.cli.runs._drive import call, read_wait
from assent.cli.runs._run import wait_option
from assent.cli.terminal._files import written_whole
from assent.runtime.service import requests
from assent.spec.words.legible import safe_line
from assent.spec.words.sizes import count_text, size_text

if TYPE_CHECKING:
    from assent.cli.terminal._style import Paint
    from assent.runtime.service import answers

F = TypeVar("F", bound=Callable[..., Any])  # `Any`: whatever command it is put on

_TYPES: Final = ("wordlist", "templates", "headers", "payloads", "configs", "schema")


def _in_force(function: F) -> F:
    """The options that say where a reference without a scope is looked for."""
    for name, words in (
        ("group", "Look in this group, too, instead of that of assent.toml."),
        ("project", "Look in this project, too, instead of that of assent.toml."),
    ):
        function = click.option(f"--{name}", name, metavar="NAME", help=words)(function)
    return function


@command("publish", short_help="Publish a file as a version that never changes.")
@click.argument("reference")
@click.argument("file")
@wait_option
def publish(door: Door, reference: str, file: str, *, wait: str | None) -> int:
    """Publish FILE as REFERENCE: `res://SCOPE/TYPE/NAME:VERSION`. `-` is standard input.

    FILE is read with your own rights and may lie anywhere. It is a call of `resource.publish`; `assent undo RUN` takes the
    version back as long as nobody used it.
    """
    parameters: dict[str, Any] = {
        "reference": reference,
        "handed": hand_over(door, file, "resource.publish"),
    }  # `Any`: JSON
    return call(door, "resource.publish", parameters, wait_ms=read_wait(wait))


@command("list", watches=False, short_help="List the versions.")
@click.option("--scope", metavar="SCOPE", help="Only of this scope: `project/shop`, `global`.")
@click.option("--type", "kind", type=click.Choice(_TYPES), help="Only of this type.")
@click.option("--name", metavar="NAME", help="Only what has this name.")
@click.option("--retired", is_flag=True, help="Also what is out of use.")
def list_(door: Door, *, scope: str | None, kind: str | None, name: str | None, retired: bool) -> None:
    """List the versions that are in use, in the order in which they were published."""
    request = requests.Resources(scope=scope, type=kind, name=name, retired=retired)
    door.out.listing(
        door.perform(request).resources,
        _row,
        head=("REFERENCE", "SIZE", "PUBLISHED", "USED", "SHA256"),
        none="nothing fits: assent resource publish REFERENCE FILE",
    )


def _row(one: answers.ResourceVersion, paint: Paint) -> list[str]:
    used = count_text(one.uses, "time")
    return [
        paint(one.reference, "bold"),
        size_text(one.bytes),
        one.published_at[:19],
        f"{used}, retired" if one.retired_at else used,
        one.sha256[:12],
    ]


@command("show", watches=False, short_help="Show which version a reference means.")
@click.argument("reference")
@_in_force
def show(door: Door, reference: str, *, project: str | None, group: str | None) -> None:
    """Show which version REFERENCE means. One without a scope is looked for in project, group and `global`."""
    found = door.perform(requests.Resource(reference=reference, project=project, group=group))
    door.out.tell(found, lambda: _shown(found, door.out.paint()))


def _shown(found: answers.ResourceVersion, paint: Paint) -> str:
    fields = (
        ("size", size_text(found.bytes)),
        ("sha256", found.sha256),
        ("published", found.published_at),
        ("from", found.promoted_from),
        ("retired", found.retired_at),
        ("used", count_text(found.uses, "time") + (f", last {found.used_at}" if found.used_at else "")),
    )
    lines = [f"  {name:<11}{value}" for name, value in fields if value]
    return "\n".join([paint(found.reference, "bold"), *lines])


@command("get", watches=False, short_help="Write the content of a version.")
@click.argument("reference")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write it there.")
@_in_force
def get(door: Door, reference: str, *, output: Path | None, project: str | None, group: str | None) -> None:
    """Write the content that REFERENCE means to a file, or to standard output. Looking is not counted as using."""
    request = requests.ResourceContent(reference=reference, project=project, group=group)
    chunks = (part.data for part in door.stream(request))
    if output is None:
        door.out.data(chunks)
        return
    size = written_whole(door.cwd / output, chunks)
    door.out.tell(
        {"path": str(output), "bytes": size}, lambda: f"wrote {safe_line(str(output))}, {size_text(size)}"
    )


@command("retire", short_help="Take a version out of use.")
@click.argument("reference")
@wait_option
def retire(door: Door, reference: str, *, wait: str | None) -> int:
    """Take the version REFERENCE out of use: its word is refused, and its digest alone leads there.

    It is a call of `resource.retire`, which `assent undo RUN` takes back.
    """
    return call(door, "resource.retire", {"reference": reference}, wait_ms=read_wait(wait))


@command("promote", short_help="Copy a version to a wider scope.")
@click.argument("reference")
@click.argument("scope")
@_in_force
@wait_option
def promote(
    door: Door, reference: str, scope: str, *, project: str | None, group: str | None, wait: str | None
) -> int:
    """Copy the version that REFERENCE means to SCOPE, a wider one: `project/shop`, `group/red`, `global`.

    It is a call of `resource.promote`; `assent undo RUN` takes the copy back as long as nobody used it.
    """
    said = {"project": project, "group": group}
    parameters = {"reference": reference, "to": scope, **{name: one for name, one in said.items() if one}}
    return call(door, "resource.promote", parameters, wait_ms=read_wait(wait))


resource: Final = group(
    "resource",
    publish,
    list_,
    show,
    get,
    retire,
    promote,
    help="What scans are made with (word lists, templates, headers, payloads, configurations, schemas), by reference.",
)
