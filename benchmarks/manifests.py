"""How many Python files a second are read into a manifest, beside Python's own parser on the same files.

    python -m benchmarks.manifests [--quick] [--json FILE]

Two sources of 1 000 files each, as one plugin: Assent's own sources, copied until there are enough (real code, much of it
prose), and made-up capability files, each with a model, a capability with its parts, a hook and a call to the network. Figures
are CPU time of this process, files already in memory; what is cached is left out.
"""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median

from assent.plugins import Declaration, ManifestCache, PluginText, SourceKind, scan
from benchmarks._measure import ROOT
from benchmarks._part import Part, run_part
from benchmarks._table import Target, number, show

FILES = 1_000
FILES_PER_S_MIN = 200

CAPABILITY = '''
"""Notes of shelf {i}."""

from __future__ import annotations

from typing import Annotated

import httpx
from pydantic import BaseModel, Field

from assent import LocalContext, capability
from assent.spec.capability import OperationType, RiskLevel

SHELF = "shelf{i}"
LIMIT = {i} * 10 + 1


class Note(BaseModel):
    """One note."""

    key: Annotated[str, Field(min_length=1, max_length=80, description="under which it is found")]
    text: str = ""
    tags: list[str] = Field(default_factory=list)
    weight: float | None = None


class Put(BaseModel):
    """What came of it."""

    key: str
    created: bool


@capability(
    f"notes.{{SHELF}}.put",
    operation=OperationType.WRITE,
    risk=RiskLevel.MEDIUM,
    reversible=True,
    labels=["sends_external"],
    timeout=LIMIT,
)
async def put(context: LocalContext, note: Note) -> Put:
    """Put a note on the shelf, replacing the one that was there."""
    async with httpx.AsyncClient(base_url="https://notes.example") as client:
        answer = await client.put(f"/{{SHELF}}/{{note.key}}", json=note.model_dump())
        answer.raise_for_status()
    for tag in note.tags:
        if tag.startswith("_") or len(tag) > LIMIT:
            raise ValueError(tag)
    return Put(key=note.key, created=answer.status_code == 201)


@put.prepare
async def before(context: LocalContext, note: Note) -> dict[str, object]:
    """What stands there now."""
    found = await read(note.key)
    return {{"was": found, "shelf": SHELF}}


@put.compensate
async def restore(context: LocalContext, note: Note, prepared: dict[str, object]) -> None:
    """Put back what was there."""
    if prepared["was"] is None:
        await drop(note.key)
    else:
        await write(note.key, str(prepared["was"]))


@put.before(timeout_s=1, retries=2)
async def open_hours(call: object) -> None:
    """Nothing is put at night."""


async def read(key: str) -> str | None:
    """The text under a key."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"https://notes.example/{{SHELF}}/{{key}}")
    return answer.text if answer.status_code == 200 else None


async def write(key: str, text: str) -> None:
    """Write the text under a key."""
    async with httpx.AsyncClient() as client:
        await client.put(f"https://notes.example/{{SHELF}}/{{key}}", content=text)


async def drop(key: str) -> None:
    """Take a key away."""
    async with httpx.AsyncClient() as client:
        await client.delete(f"https://notes.example/{{SHELF}}/{{key}}")
'''


def measure(folder: Path, *, quick: bool) -> Part:
    """Read both sources some times over, in turns with the parser."""
    del folder
    rounds = 1 if quick else 5
    sources = {"Assent's own sources": _own(), "capability files": _made()}
    rows, data, targets = [], {}, []
    for name, files in sources.items():
        declaration = Declaration(name="bench")
        parsed, scanned = [], []
        for _ in range(rounds):
            parsed.append(_cpu_s(partial(_parse, files)))
            scanned.append(_cpu_s(partial(scan, files, declaration, SourceKind.FOLDER)))
        parse, read = FILES / median(parsed), FILES / median(scanned)
        lines = sum(text.count(b"\n") for text in files.values()) / FILES
        cached = _cached_s(PluginText(SourceKind.FOLDER, files, declaration))
        rows.append(
            [
                name,
                number(lines),
                number(parse),
                number(read),
                f"{number(read / parse)}x",
                number(FILES / cached),
            ]
        )
        data[name] = {
            "lines_per_file": lines,
            "parse_files_per_s": parse,
            "manifest_files_per_s": read,
            "cached_files_per_s": FILES / cached,
        }
        targets.append(Target(f"manifests: {name}, files per s", read, FILES_PER_S_MIN, at_least=True))
    show(
        f"{FILES} files into one manifest, files per second of CPU (median of {rounds})",
        ["source", "lines per file", "ast.parse alone", "manifest", "of the parser's", "manifest, cached"],
        rows,
    )
    return Part("manifests", data, targets)


def _parse(files: Mapping[str, bytes]) -> None:
    for text in files.values():
        ast.parse(
            text
        )  # One tree at a time: many kept at once would have the cycle collector look through them all.


def _own() -> Mapping[str, bytes]:
    texts = {
        path.relative_to(ROOT / "src").as_posix(): path.read_bytes()
        for path in sorted((ROOT / "src" / "assent").rglob("*.py"))
    }
    names = [(copy, name) for copy in range(FILES // len(texts) + 1) for name in texts][:FILES]
    return {f"copy{copy}/{name}": texts[name] for copy, name in names}


def _made() -> Mapping[str, bytes]:
    return {f"notes/shelf{i}.py": CAPABILITY.format(i=i).encode() for i in range(FILES)}


def _cpu_s(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _cached_s(text: PluginText) -> float:
    cache = ManifestCache()
    cache.manifest(text)
    return _cpu_s(lambda: cache.manifest(text))


if __name__ == "__main__":
    run_part(measure, __doc__)
