"""`knowledge.*`: what is seen is which files the store has."""

from __future__ import annotations

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from assent.errors import InputError, Json
from assent.runtime import Runtime
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring.knowledge import library_of
from tests.conformance.case import Case, Cell, Escape, Stage
from tests.support.encoder import tiny_model
from tests.support.knowledge_workers import shared_workers

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

    with shared_workers(), ThreadPoolExecutor(1) as pool:  # the test has a loop of its own
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


def with_keys(stage: Stage) -> None:
    """The repository was indexed, with keys that are known again."""
    indexed(stage)
    stage.things["keys"] = keys(stage)


def keys(stage: Stage) -> set[bytes]:
    """All the keys that there are."""
    return {one.read_bytes() for one in _settings(stage).knowledge_keys.iterdir()}


def kept_under(stage: Stage) -> object:
    """The files that the store has, and whether all is as it was with its keys."""
    return held(stage), keys(stage) == stage.things["keys"]


def with_model(stage: Stage) -> None:
    """The repository was indexed, and a model stands beside the workspace."""
    indexed(stage)
    tiny_model(stage.root / "tiny")
    stage.shown[str(stage.root)] = "/srv/models"


def used(stage: Stage) -> object:
    """The model of the store, wherever it was."""
    library = library_of(_settings(stage))
    try:
        kept = library.models.kept()
        return None if kept is None else kept.record
    finally:
        library.close()


def escrowed(stage: Stage) -> None:
    """The repository was indexed, the master key can be recovered, and it is lost."""
    private = X25519PrivateKey.from_private_bytes(b"r" * 32)
    key = stage.root / "recovery.pem"
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o600)
    stage.shown[str(key)] = "/media/safe/recovery.pem"
    indexed(stage)
    library = library_of(_settings(stage))
    try:
        library.store.escrow([private.public_key().public_bytes_raw().hex()])
    finally:
        library.close()
    shutil.rmtree(_settings(stage).knowledge_keys)


def can_be_read(stage: Stage) -> object:
    """Whether the store can be opened, and who could recover its key."""
    library = library_of(_settings(stage))
    try:
        return library.store.recipients
    except InputError as error:
        return error.code
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
        "knowledge.use_model",
        inputs=lambda stage: {"folder": str(stage.root / "tiny")},
        settings=_SETTINGS,
        files=_FILES,
        arrange=with_model,
        observe=used,
        bad=[{"folder": "../outside"}],
        escapes=[Escape(lambda stage: {"folder": str(stage.outside)}, "KNOWLEDGE_MODEL_INVALID")],
        without={Cell.TIMEOUT: "it reads a folder of the machine, and nothing of the workspace"},
    ),
    Case(
        "knowledge.rotate_key",
        settings=_SETTINGS,
        files=_FILES,
        arrange=with_keys,
        observe=kept_under,
        without={Cell.TIMEOUT: _STORE, Cell.CONFINEMENT: "nothing is said to it"},
    ),
    Case(
        "knowledge.escrow",
        inputs={"recipients": ["5a" * 32]},
        settings=_SETTINGS,
        files=_FILES,
        arrange=indexed,
        observe=can_be_read,
        bad=[{"recipients": ["5a"]}, {"recipients": ["5a" * 32] * 17}],
        without={Cell.TIMEOUT: _STORE, Cell.CONFINEMENT: _STORE},
    ),
    Case(
        "knowledge.recover",
        inputs=lambda stage: {"key_file": str(stage.root / "recovery.pem")},
        settings=_SETTINGS,
        files=_FILES,
        arrange=escrowed,
        observe=can_be_read,
        bad=[{"key_file": "recovery.pem"}],
        escapes=[Escape(lambda stage: {"key_file": str(stage.outside / "canary.txt")}, "SECRET_FILE_UNSAFE")],
        without={Cell.TIMEOUT: _STORE},
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
