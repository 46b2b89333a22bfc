"""`knowledge.*`: what is seen is which files the store has."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from assent.errors import Json
from assent.runtime import Runtime
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring.knowledge import library_of
from tests.conformance.case import Case, Cell, Escape, Stage

_CODE: Final[dict[str, Json]] = {"repository": "code"}
_SETTINGS: Final = '[knowledge.repositories.code]\nfolder = "src"\n'
_FILES: Final = {"src/parser.py": "def parse(text):\n    return text\n", "src/notes.md": "# Notes\n"}
_NONE: Final[dict[str, Json]] = {"repository": "../outside"}
_STORE: Final = "it reads the store, and nothing of the workspace"
_UNKNOWN: Final = Escape(_NONE, "KNOWLEDGE_REPOSITORY_UNKNOWN")
_OUTSIDE: Final = {"chunk": "../outside/canary.txt::0", **_CODE}
_FOLDER: Final = "it looks at a folder, without a look at the workspace's files as others take it"


def _settings(stage: Stage) -> Settings:
    return Settings.resolve(workspace=stage.workspace, environ=stage.env, cwd=stage.workspace)


def indexed(stage: Stage) -> None:
    """The repository was indexed."""
    file = stage.workspace / "assent.toml"
    said = file.read_text() if file.exists() else ""
    file.write_text(f"{said}\n{_SETTINGS}")

    async def called() -> None:
        async with Runtime(_settings(stage)) as runtime:
            result = await runtime.call("knowledge.index", _CODE)
            assert result.status == "succeeded", result.error

    with ThreadPoolExecutor(1) as pool:  # the test has a loop of its own
        pool.submit(lambda: asyncio.run(called())).result()
    file.write_text(said)


def held(stage: Stage) -> object:
    """The files that the store has."""
    library = library_of(_settings(stage))
    try:
        store = library.store
        return [(one.path, one.digest) for name in store.repositories() for one in store.files(name)]
    finally:
        library.close()


def reading(verb: str, inputs: dict[str, Json], bad: list[dict[str, Json]], *escapes: Escape) -> Case:
    """A case of what only reads the store."""
    without = {Cell.TIMEOUT: _STORE} if escapes else {Cell.TIMEOUT: _STORE, Cell.CONFINEMENT: _STORE}
    return Case(
        f"knowledge.{verb}",
        inputs=inputs,
        settings=_SETTINGS,
        files=_FILES,
        arrange=indexed,
        observe=held,
        bad=[*bad],
        escapes=[*escapes],
        without=without,
    )


CASES: Final = (
    Case(
        "knowledge.index",
        inputs=_CODE,
        settings=_SETTINGS,
        files=_FILES,
        observe=held,
        bad=[{"repository": ""}],
        escapes=[_UNKNOWN],
        without={
            Cell.TIMEOUT: _FOLDER,
            Cell.RECONCILE: "killed before its generation is committed it has done nothing, and after that it finds nothing new",
        },
    ),
    reading("search", {"query": "parse"}, [{"query": ""}, {"query": "a", "limit": 51}]),
    reading("read_chunk", {"chunk": "src/parser.py::1", **_CODE}, [{"chunk": ""}], Escape(_OUTSIDE, "KNOWLEDGE_CHUNK_UNKNOWN")),
    reading("prove", {"chunk": "src/parser.py::1", **_CODE}, [{"chunk": ""}], Escape(_OUTSIDE, "KNOWLEDGE_CHUNK_UNKNOWN")),
    reading("status", {}, []),
    reading("verify", {}, []),
    reading("export", _CODE, [{"after": -1, **_CODE}], _UNKNOWN),
    reading("plan", _CODE, [{"repository": ""}], _UNKNOWN),
    Case(
        "knowledge.forget",
        inputs={**_CODE, "paths": ["src/parser.py"]},
        settings=_SETTINGS,
        files=_FILES,
        arrange=indexed,
        observe=held,
        bad=[{"repository": ""}, {**_CODE, "paths": "src/parser.py"}],
        escapes=[_UNKNOWN],
        without={
            Cell.TIMEOUT: _STORE,
            Cell.RECONCILE: "what is forgotten is forgotten once more, which changes nothing",
        },
    ),
    Case(
        "knowledge.erase_tenant",
        inputs={"tenant": "workspace"},
        settings=_SETTINGS,
        files=_FILES,
        arrange=indexed,
        observe=held,
        bad=[{"tenant": ""}],
        escapes=[Escape({"tenant": "../outside"}, "KNOWLEDGE_TENANT_DIFFERS")],
        without={Cell.TIMEOUT: _STORE},
    ),
)  # fmt: skip
