"""`assent knowledge`: each command is a governed call of `knowledge.*`, and what it gives is printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from assent.cli._arguments import time_ms
from assent.cli._command import command
from assent.cli._door import Door
from assent.cli._exit import OK, worst
from assent.cli.record._proof import give_proof
from assent.cli.runs._drive import call, conclude, read_wait
from assent.cli.runs._progress import Progress
from assent.cli.runs._run import wait_option
from assent.runtime.service import requests
from assent.spec.documents.settings import tables
from assent.spec.words.legible import safe_line
from assent.spec.words.sizes import count_text, size_text

_WHOLE: Final = "workspace"
_SHOWN_LINES: Final = 8
"""Lines of a chunk that are printed for people."""

repository_option: Final = click.option(
    "--repository",
    "-r",
    default=_WHOLE,
    metavar="NAME",
    help="One of `[knowledge.repositories]`; `workspace` where none is named there.",
)


def asked(
    door: Door,
    capability: str,
    parameters: dict[str, Any],
    tell: Callable[[Any], None],  # `Any`: JSON, as the capability's result type says it
) -> int:
    """Make a call that only reads, and tell what it gave; one that did not succeed is told of as a run is."""
    request = requests.Call(
        capability=f"knowledge.{capability}", parameters=parameters, environment=door.settings.environment
    )
    run = door.perform(request, None if door.is_quiet else Progress(door.out, of_a_call=True))
    if run.status != "succeeded":
        return conclude(door, run, wait_ms=None)
    tell(run.outputs)
    return OK


@command("plan", short_help="Show what indexing would read, and what not.")
@repository_option
def plan(door: Door, *, repository: str) -> int:
    """Tell how many files of a repository would be read, how large they are, and why others are left out. Nothing is indexed."""

    def text(found: Any) -> str:  # `Any`: as above
        lines = [
            f"{safe_line(found['repository'])}: {count_text(found['files'], 'file')}, {size_text(found['bytes'])}",
            f"  some {found['seconds']} s to index",
            *(f"  {count} left out: {reason}" for reason, count in found["left_out"].items()),
            *(f"  {safe_line(one['path'])}: {safe_line(one['because'])}" for one in found["first_left_out"]),
        ]
        return "\n".join(lines)

    return asked(
        door, "plan", {"repository": repository}, lambda found: door.out.tell(found, lambda: text(found))
    )


@command("index", short_help="Index repositories of the workspace.")
@click.argument("repositories", nargs=-1, metavar="[REPOSITORY]...")
@wait_option
def index(door: Door, repositories: tuple[str, ...], *, wait: str | None) -> int:
    """Index each REPOSITORY as it stands now, all that are configured where none is named. `assent undo RUN` takes it back.

    Secrets are removed first, and what did not change is not read into the index again.
    """
    names = repositories or (*tables(door.settings.areas["knowledge"], "repositories"),) or (_WHOLE,)
    wait_ms = read_wait(wait)
    return worst(call(door, "knowledge.index", {"repository": name}, wait_ms=wait_ms) for name in names)


@command("search", short_help="Find the places that answer a question.")
@click.argument("query")
@click.option("--limit", "-n", type=click.IntRange(1, 50), default=10, help="At most so many.")
@click.option(
    "--repository",
    "-r",
    "repositories",
    multiple=True,
    metavar="NAME",
    help="Only there; may be given again.",
)
@click.option(
    "--path", "paths", multiple=True, metavar="PATTERN", help="Only in such files: `*` stands for anything."
)
@click.option(
    "--language", "languages", multiple=True, metavar="LANGUAGE", help="Only in files of this language."
)
@click.option(
    "--since",
    metavar="TIME",
    help="Only in files changed since then: `2h`, `3d`, or `2026-11-21[T07:00]` in UTC.",
)
@click.option("--until", metavar="TIME", help="Only in files changed before, told likewise.")
def search(
    door: Door,
    /,
    query: str,
    *,
    limit: int,
    since: str | None,
    until: str | None,
    **where: tuple[str, ...],
) -> int:
    """Print the places of the workspace that answer QUERY best, of those that you may see. With `--json` an array, best first."""

    def tell(found: Any) -> None:  # `Any`: as above
        hits = found["hits"]
        if door.out.is_json:
            door.out.object(hits)
        elif not hits:
            door.out.note("nothing was found")
        else:
            door.out.answer("\n\n".join(map(_chunk_text, hits)))

    times = {"since_ms": since, "until_ms": until}
    parameters = {
        "query": query,
        "limit": limit,
        **{name: [*said] for name, said in where.items()},
        **{name: time_ms(said) for name, said in times.items() if said is not None},
    }
    return asked(door, "search", parameters, tell)


def _chunk_text(hit: Any) -> str:  # `Any`: as above
    head = f"{safe_line(hit['path'])}:{hit['start_line']}-{hit['end_line']}  {safe_line(hit['symbol'])}"
    lines = hit["text"].splitlines()
    more = [f"    … {len(lines) - _SHOWN_LINES} more lines"] if len(lines) > _SHOWN_LINES else []
    return "\n".join([head.rstrip(), *(f"    {safe_line(one)}" for one in lines[:_SHOWN_LINES]), *more])


@command("show", short_help="Print a chunk that a search has found.")
@click.argument("chunk")
@repository_option
def show(door: Door, chunk: str, *, repository: str) -> int:
    """Print CHUNK (`PATH::N`, as `search --json` names it)."""
    return asked(
        door,
        "read_chunk",
        {"chunk": chunk, "repository": repository},
        lambda found: door.out.tell(found, lambda: _chunk_text(found)),
    )


@command("status", short_help="Tell what can be searched.")
def status(door: Door) -> int:
    """List the repositories, with what of them you may search."""
    return asked(door, "status", {}, lambda found: _tell_standing(door, found))


@command("verify", short_help="Read all that was indexed against its roots.")
def verify(door: Door) -> int:
    """Read every record of the store and hold it against the roots of the manifests. An error says what is wrong."""
    return asked(door, "verify", {}, lambda found: _tell_standing(door, found))


def _tell_standing(door: Door, found: Any) -> None:  # `Any`: as above
    def text() -> str:
        return "\n".join(
            f"{safe_line(one['repository'])}: {count_text(one['files'], 'file')} in"
            f" {count_text(one['chunks'], 'chunk')}, generation {one['generation']}  {one['root'] or 'not indexed'}"
            for one in found["repositories"]
        )

    door.out.tell(found, text)


@command("prove", short_help="Show that a chunk was indexed, by the entry of the ledger that binds it.")
@click.argument("chunk")
@repository_option
@click.option(
    "--out",
    "--output",
    "-o",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the proof there.",
)
def prove(door: Door, chunk: str, *, repository: str, output: Path | None) -> int:
    """Show the way from CHUNK to the root of its repository, and the entry of the ledger that binds the root.

    With `--out`, the proof is a file that `assent audit verify-proof FILE --key KEY` checks anywhere, without this state.
    """

    def tell(found: Any) -> None:  # `Any`: as above
        proof = door.perform(requests.ProveKnowledge(repository=repository, manifest=found))
        text = (
            f"{door.out.paint()('proved', 'green')}  {safe_line(found['path'])}: chunk {found['number']}"
            f" of {found['chunks']}  by entry {proof.entry}\n"
            f"  digest {found['chunk']['digest']}\n  root {found['root']}"
        )
        give_proof(door, proof, text, output)

    return asked(door, "prove", {"chunk": chunk, "repository": repository}, tell)


@command("forget", short_help="Remove files from what can be searched, for good.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@repository_option
@wait_option
def forget(door: Door, paths: tuple[str, ...], *, repository: str, wait: str | None) -> int:
    """Remove each PATH from the store, with all that was replaced before. What is still in the workspace can be indexed again."""
    parameters: dict[str, Any] = {"repository": repository, "paths": [*paths]}
    return call(door, "knowledge.forget", parameters, wait_ms=read_wait(wait))


@command("compact", short_help="Remove what was replaced before, for good.")
@repository_option
@wait_option
def compact(door: Door, *, repository: str, wait: str | None) -> int:
    """Remove what earlier generations of a repository had: none of them can be taken back from then on."""
    return call(door, "knowledge.forget", {"repository": repository}, wait_ms=read_wait(wait))


@command("erase", short_help="Destroy the keys of all that was indexed.")
@click.argument("tenant")
@wait_option
def erase(door: Door, tenant: str, *, wait: str | None) -> int:
    """Destroy the keys of TENANT, named as in `[knowledge]`: what was indexed, and each copy of it, can't be read again."""
    return call(door, "knowledge.erase_tenant", {"tenant": tenant}, wait_ms=read_wait(wait))
