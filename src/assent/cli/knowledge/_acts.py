"""`assent knowledge`: each command is a governed call of `knowledge.*`, and what it gives is printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import click

from assent.capabilities.knowledge.area import NOTHING, OPEN, WHOLE
from assent.cli._arguments import time_ms
from assent.cli._command import command
from assent.cli._door import Door
from assent.cli._exit import OK, worst
from assent.cli.record._proof import give_proof, proved_text, required_key
from assent.cli.runs._drive import call, conclude, read_wait
from assent.cli.runs._progress import Progress
from assent.cli.runs._run import wait_option
from assent.cli.terminal._files import written_whole
from assent.errors import InputError, WorldError
from assent.runtime.service import requests
from assent.spec.documents.settings import tables
from assent.spec.words.legible import safe_line
from assent.spec.words.sizes import count_text, size_text

if TYPE_CHECKING:
    from assent.runtime.service import answers

_SHOWN_LINES: Final = 8
"""Lines of a chunk that are printed for people."""

_to: Final = partial(
    click.option,
    "--out",
    "--output",
    "-o",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
)
"""Where a proof or an export goes."""

repository_option: Final = click.option(
    "--repository",
    "-r",
    metavar="NAME",
    help="One of `[knowledge.repositories]`, where it is not plain which one is meant.",
)

repositories_option: Final = click.option(
    "--repository",
    "-r",
    "repositories",
    multiple=True,
    metavar="NAME",
    help="Only this one of `[knowledge.repositories]`; may be given again.",
)


def _repositories(door: Door) -> dict[str, PurePosixPath]:
    """What is configured, and where it is; the whole workspace where nothing is."""
    named = tables(door.settings.areas["knowledge"], "repositories")
    return {name: PurePosixPath(str(one["folder"])) for name, one in named.items()} or {
        WHOLE: PurePosixPath()
    }


def _meant(door: Door, said: str | None, *paths: str) -> str:
    """The repository that was said; else that in which all these are, or the only one. `InputError` USAGE_INVALID."""
    if said is not None:
        return said
    configured = _repositories(door)
    found = [
        name
        for name, folder in configured.items()
        if len(configured) == 1 or (paths and all(PurePosixPath(one).is_relative_to(folder) for one in paths))
    ]
    if len(found) == 1:
        return found[0]
    raise InputError(
        "USAGE_INVALID",
        "say which repository: `--repository NAME`",
        hint=f"there are: {', '.join(map(safe_line, configured))}"
        + ("; what is in none is named from the workspace, as a search shows it" if paths else ""),
    )


class UnsucceededError(Exception):
    """A call that did not succeed, or not yet."""

    def __init__(self, run: answers.Run) -> None:
        self.run = run


def outputs(door: Door, capability: str, parameters: dict[str, Any]) -> Any:  # `Any`: JSON
    """Make a call that only reads; what it gave. Raises `UnsucceededError`."""
    request = requests.Call(
        capability=f"knowledge.{capability}", parameters=parameters, environment=door.settings.environment
    )
    run = door.perform(request, None if door.is_quiet else Progress(door.out, of_a_call=True))
    if run.status != "succeeded":
        raise UnsucceededError(run)
    return run.outputs


def asked(
    door: Door,
    capability: str,
    parameters: dict[str, Any],
    tell: Callable[[Any], None],  # `Any`: JSON, as the capability's result type says it
) -> int:
    """Make a call that only reads, and tell what it gave; one that did not succeed is told of as a run is."""
    try:
        found = outputs(door, capability, parameters)
    except UnsucceededError as ended:
        return conclude(door, ended.run, wait_ms=None)
    tell(found)
    return OK


@command("plan", short_help="Show what indexing would read, and what not.")
@repositories_option
def plan(door: Door, *, repositories: tuple[str, ...]) -> int:
    """Tell of each repository how many files would be read, of which size, and why others are left out. Nothing is indexed."""

    def text(found: Any) -> str:  # `Any`: as above
        if not found["files"] and not found["left_out"]:
            return f"{safe_line(found['repository'])}: {NOTHING}, or you may not see it"
        lines = [
            f"{safe_line(found['repository'])}: {count_text(found['files'], 'file')}, {size_text(found['bytes'])}",
            f"  about {found['seconds'] or 0.1} s to index",
            *(f"  {count} left out: {reason}" for reason, count in found["left_out"].items()),
            *(f"  {safe_line(one['path'])}: {safe_line(one['because'])}" for one in found["first_left_out"]),
        ]
        return "\n".join(lines)

    names = repositories or _repositories(door)
    return worst(
        asked(door, "plan", {"repository": name}, lambda found: door.out.tell(found, lambda: text(found)))
        for name in names
    )


@command("index", short_help="Index repositories of the workspace.")
@repositories_option
@wait_option
def index(door: Door, *, repositories: tuple[str, ...], wait: str | None) -> int:
    """Index each repository as it stands now. `assent undo RUN` takes it back.

    Secrets are removed first, and what did not change is not read into the index again.
    """
    names = repositories or _repositories(door)
    wait_ms = read_wait(wait)
    return worst(call(door, "knowledge.index", {"repository": name}, wait_ms=wait_ms) for name in names)


@command("search", short_help="Find the places that answer a question.")
@click.argument("query")
@click.option("--limit", "-n", type=click.IntRange(1, 50), default=10, help="At most so many.")
@repositories_option
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
@click.option("--why", is_flag=True, help="Tell of each repository why it was searched, or left out.")
def search(
    door: Door,
    /,
    query: str,
    *,
    limit: int,
    since: str | None,
    until: str | None,
    why: bool,
    **where: tuple[str, ...],
) -> int:
    """Print the places of the workspace that answer QUERY best, of those that you may see. With `--json` an array, best first."""

    def tell(found: Any) -> None:  # `Any`: as above
        hits = found["hits"]
        if found["words_alone"]:
            door.out.note(f"found by words alone: {safe_line(found['words_alone'])}")
        if found["not_indexed"]:
            names = ", ".join(map(safe_line, found["not_indexed"]))
            door.out.note(f"not indexed yet: {names}; to index: {door.command('knowledge', 'index')}")
        if found["late"]:
            names = ", ".join(map(safe_line, found["late"]))
            door.out.note(f"left out, because past their `budget`: {names}")
        for one in found["routes"] if why else ():
            door.out.note(f"{safe_line(one['repository'])}: {one['because']}")
        if door.out.is_json:
            door.out.object(
                [{name: one[name] for name in one if name != "marks" or one[name]} for one in hits]
            )
        elif not hits:
            door.out.note("nothing was found")
        else:
            door.out.answer("\n\n".join(_chunk_text(door, one, lines_max=_SHOWN_LINES) for one in hits))

    times = {"since_ms": since, "until_ms": until}
    parameters = {
        "query": query,
        "limit": limit,
        **{name: [*said] for name, said in where.items()},
        **{name: time_ms(said) for name, said in times.items() if said is not None},
    }
    return asked(door, "search", parameters, tell)


def _chunk_text(door: Door, hit: Any, *, lines_max: int | None = None) -> str:  # `Any`: as above
    place = f"{safe_line(hit['path'])}:{hit['start_line']}-{hit['end_line']}"
    name, paint = safe_line(hit["chunk"]), door.out.paint()
    marks = [f"{one['kind']} in line {one['line']}" for one in hit["marks"]]
    told = [f"  speaks to a model, and is no order: {', '.join(marks)}"] if marks else []
    lines = hit["text"].rstrip().splitlines()
    shown = lines[:lines_max]
    more = len(lines) - len(shown)
    show = f"{count_text(more, 'more line')}: {door.command('knowledge', 'show', name)}"
    # Its name, once: `show` and `prove` ask for it.
    head = [
        paint(place, "bold"),
        safe_line(hit["symbol"]),
        "" if more or lines_max is None else paint(name, "dim"),
    ]
    return "\n".join(
        [
            "  ".join(filter(None, head)),
            *told,
            *(f"    {safe_line(one)}" for one in shown),
            *([f"    … {show}"] if more else []),
        ]
    )


@command("show", short_help="Print a chunk that a search has found.")
@click.argument("chunk")
@repository_option
def show(door: Door, chunk: str, *, repository: str | None) -> int:
    """Print the whole of CHUNK (`PATH::N`, as `search` names it)."""
    return asked(
        door,
        "read_chunk",
        {"chunk": chunk, "repository": _meant(door, repository, chunk)},
        lambda found: door.out.tell(found, lambda: _chunk_text(door, found)),
    )


@command("status", short_help="Tell what can be searched.")
def status(door: Door) -> int:
    """List the repositories, with what of them you may search."""
    return asked(door, "status", {}, lambda found: _tell_standing(door, found))


@command("verify", short_help="Read all that was indexed against its roots, or an export.")
@click.option(
    "--export",
    "exported",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="An export instead of the store.",
)
@click.option("--key", metavar="KEY", help="For an export: the ledger's public key, or a file with it.")
def verify(door: Door, *, exported: Path | None, key: str | None) -> int:
    """Read every record of the store and hold it against the roots of the manifests. An error says what is wrong.

    With `--export`, a file that `assent knowledge export` wrote is held against the ledger's public key. No state is needed.
    """
    if exported is not None:
        request = requests.VerifyKnowledge(file=str(door.cwd / exported), key=required_key(door, key))
        found = door.perform(request)
        door.out.tell(found, lambda: _export_text(door, found))
        return OK
    if key is not None:
        raise InputError("USAGE_INVALID", "`--key` is for an export", hint="say `--export FILE`, too")
    verified = f"{door.out.paint()('verified', 'green')}  all that was indexed fits the roots"
    return asked(door, "verify", {}, lambda found: _tell_standing(door, found, verified))


def _export_text(door: Door, found: answers.ProvenExport) -> str:
    one = found.chunk
    assert one  # INVARIANT: it was proved by one of its chunks
    return (
        f"{proved_text(door, found)}\n  {count_text(found.files, 'file')} in {count_text(found.chunks, 'chunk')},"
        f" {count_text(found.hidden, 'hidden file')}, of the repository `{safe_line(one.repository)}` of"
        f" `{safe_line(one.tenant)}`, generation {one.generation}\n  root {one.root}"
    )


def _size_text(one: Any) -> str:  # `Any`: as above
    return f"{count_text(one['files'], 'file')} in {count_text(one['chunks'], 'chunk')}"


def _tell_standing(door: Door, found: Any, *first: str) -> None:  # `Any`: as above
    def text() -> str:
        rows = [
            (
                f"{safe_line(one['repository'])}: {_size_text(one)}, generation {one['generation']}",
                one["root"] or "not indexed",
            )
            for one in found["repositories"]
        ]
        width = max(len(what) for what, _ in rows)
        lines = [*first, *(f"{what:{width}}  {root}" for what, root in rows)]
        lines += [
            f"{safe_line(one['repository'])} is no repository any more: it is indexed no more, and searched with"
            f" `-r {safe_line(one['repository'])}` alone; to remove it:"
            f" {door.command('knowledge', 'forget', '.', '-r', one['repository'])}"
            for one in found["repositories"]
            if one["folder"] is None
        ]
        lines += [OPEN] if found["encryption"] == "off" else []
        lines += [f"the master key can be recovered by {one}" for one in found["recipients"]]
        return "\n".join(lines)

    door.out.tell(found, text)


@command("prove", short_help="Show that a chunk was indexed, by the entry of the ledger that binds it.")
@click.argument("chunk")
@repository_option
@_to(help="Write the proof there.")
def prove(door: Door, chunk: str, *, repository: str | None, output: Path | None) -> int:
    """Show the way from CHUNK to the root of its repository, and the entry of the ledger that binds the root.

    With `--out`, the proof is a file that `assent audit verify-proof FILE --key KEY` checks anywhere, without this state.
    """
    name = _meant(door, repository, chunk)

    def tell(found: Any) -> None:  # `Any`: as above
        proof = door.perform(requests.ProveKnowledge(repository=name, manifest=found))
        text = (
            f"{door.out.paint()('proved', 'green')}  {safe_line(found['path'])}: chunk {found['number']}"
            f" of {found['chunks']}  by entry {proof.entry}\n"
            f"  digest {found['chunk']['digest']}\n  root {found['root']}"
        )
        give_proof(door, proof, text, output)

    return asked(door, "prove", {"chunk": chunk, "repository": name}, tell)


@command("export", short_help="Write what was indexed, with its proof, to one file.")
@repository_option
@_to(help="Write it there.", required=True)
def export(door: Door, *, repository: str | None, output: Path) -> int:
    """Write all of a repository that you may see to FILE: the manifest and the texts as they are kept, as lines of JSON.

    Of what is hidden there are hashes alone. `assent knowledge verify --export FILE --key KEY` checks it anywhere.
    """
    counts = {"files": 0, "hidden": 0}
    name = _meant(door, repository)

    def lines() -> Iterator[bytes]:
        part: Any = {"root": "", "after": 0, "files": 1}  # `Any`: as above
        first = None
        while part["after"] < part["files"]:
            said = {"repository": name, "root": part["root"], "after": part["after"]}
            part = outputs(door, "export", said)
            counts["files"] += part["shown"]
            counts["hidden"] += part["hidden"]
            first = first or part["first"]
            yield part["lines"].encode()
        if first is None:
            raise InputError(
                "KNOWLEDGE_CHUNK_UNKNOWN",
                f"you can see nothing that was indexed of the repository `{safe_line(name)}`",
                hint="`assent knowledge index` indexes it",
            )
        way = outputs(door, "prove", {"chunk": first, "repository": name})
        proof = door.perform(requests.ProveKnowledge(repository=name, manifest=way))
        if way["root"] != part["root"]:
            raise WorldError(
                "KNOWLEDGE_STALE", "the repository was indexed again meanwhile", hint="export it again"
            )
        import msgspec  # `--help` does without it

        yield msgspec.json.encode(proof) + b"\n"

    try:
        size = written_whole(door.cwd / output, lines())
    except UnsucceededError as ended:
        return conclude(door, ended.run, wait_ms=None)
    door.out.tell(
        {"path": str(output), "bytes": size, **counts},
        lambda: (
            f"wrote {safe_line(str(output))}, {size_text(size)}: {count_text(counts['files'], 'file')}"
            + (
                f", and the hashes of {count_text(counts['hidden'], 'hidden file')}"
                if counts["hidden"]
                else ""
            )
        ),
    )
    door.out.note("texts are in it as they were cleaned: give it to nobody who may not see them")
    return OK


@command("forget", short_help="Remove files from what can be searched, for good.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@repository_option
@wait_option
def forget(door: Door, paths: tuple[str, ...], *, repository: str | None, wait: str | None) -> int:
    """Remove each PATH, a file or a folder with all below it, from the store, with all that was replaced before.

    What is still in the workspace can be indexed again.
    """
    plain = [PurePosixPath(one).as_posix() for one in paths]  # `docs/`, as a shell completes it
    parameters: dict[str, Any] = {"repository": _meant(door, repository, *plain), "paths": plain}
    return call(door, "knowledge.forget", parameters, wait_ms=read_wait(wait))


@command("compact", short_help="Remove what was replaced before, for good.")
@repository_option
@wait_option
def compact(door: Door, *, repository: str | None, wait: str | None) -> int:
    """Remove what earlier generations of a repository had: none of them can be taken back from then on."""
    return call(door, "knowledge.forget", {"repository": _meant(door, repository)}, wait_ms=read_wait(wait))


@command("erase", short_help="Destroy the keys of all that was indexed.")
@click.argument("tenant")
@wait_option
def erase(door: Door, tenant: str, *, wait: str | None) -> int:
    """Destroy the keys of TENANT, named as in `[knowledge]`: what was indexed, and each copy of it, can't be read again."""
    return call(door, "knowledge.erase_tenant", {"tenant": tenant}, wait_ms=read_wait(wait))
