"""What `assent knowledge add` and `watch` do beside governed calls.

A folder of the workspace is written into assent.toml as a repository, of which nothing is read by that; and the folders are
followed. What is indexed is a governed call each time, `knowledge.index`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from assent import system
from assent.capabilities.knowledge.area import SECTION, STORE, WHOLE
from assent.errors import InputError, WorldError
from assent.runtime.service import answers, requests
from assent.runtime.service._project_file import ProjectFile, invalid, toml
from assent.runtime.settings.effective import Settings
from assent.spec.documents.settings import Named
from assent.spec.documents.toml import locate, toml_key
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    from assent.capabilities.knowledge import Following

_WATCHED: Final = "watch.lock"


def add(settings: Settings, request: requests.AddRepository) -> answers.RepositoryWritten:
    """Write a repository, and its labels. `InputError` KNOWLEDGE_REPOSITORY_EXISTS, INVALID_INPUT, CONFIG_INVALID."""
    folder = _folder(settings, Path(request.folder))
    name = request.name or (WHOLE if folder == "." else Path(folder).name)
    _require_name("repositories", name, "name", "say another: `--name NAME`")
    file = ProjectFile(settings, "knowledge")
    said = file.tables.setdefault("knowledge", {})
    repositories = said.setdefault("repositories", {})
    _require_new(repositories, name, folder)
    is_first = not repositories
    repositories[name] = {"folder": folder}
    text = file.with_table(file.text, f"knowledge.repositories.{toml_key(name)}", repositories[name])
    labels = [*dict.fromkeys(request.labels)]
    file.write(_labelled(file, text, labels, request.roles, "*" if folder == "." else f"{folder}/*"))
    return answers.RepositoryWritten(
        name=name,
        folder=folder,
        labels=labels,
        replaces_whole=is_first and folder != ".",
        path=str(file.path),
    )


def _folder(settings: Settings, place: Path) -> str:
    """The folder as assent.toml names it, links resolved: none is followed when it is read."""
    place, root = place.resolve(), settings.workspace.resolve()
    if not place.is_relative_to(root):
        why, hint = (
            f"is outside of the workspace `{root}`",
            "name a folder of the workspace, or have a workspace there",
        )
    elif not place.is_dir():
        why, hint = (
            "must be a folder that is there",
            "make it, or name another one: what is indexed are folders",
        )
    elif any(place.is_relative_to(hidden.resolve()) for hidden in settings.hidden_files):
        why, hint = "is Assent's own: nothing can read what it holds", "name another folder"
    else:
        return place.relative_to(root).as_posix()
    raise InputError("INVALID_INPUT", f"`{place}` {why}", path="folder", hint=hint)


def _require_name(table: str, name: str, key: str, hint: str | None = None) -> None:
    named = SECTION[table]
    assert isinstance(named, Named), "both are tables of tables"
    if not named.is_name(name):
        error = invalid(key, f"must be letters, digits and `{named.signs}`, beginning with a letter or digit")
        error.hint = hint
        raise error


def _require_new(repositories: dict[str, Any], name: str, folder: str) -> None:  # `Any`: what TOML holds
    """A file that were in two repositories would be found twice."""
    for other, one in repositories.items():
        there = PurePosixPath(one["folder"])
        if there == PurePosixPath(folder):
            how, hint = "is already", f"index it: assent knowledge index -r {other}"
        elif PurePosixPath(folder).is_relative_to(there):
            how, hint = "is in", f"index that one: assent knowledge index -r {other}"
        elif there.is_relative_to(folder):
            how, hint = "holds", f"take `[knowledge.repositories.{toml_key(other)}]` out of assent.toml first"
        elif other == name:
            how, hint = "would have the name of", "say another: `--name NAME`"
        else:
            continue
        raise InputError(
            "KNOWLEDGE_REPOSITORY_EXISTS",
            f"the folder `{folder}` {how} the repository `{other}`"
            + (f" (`{there}`)" if there != PurePosixPath(folder) else ""),
            path=f"knowledge.repositories.{other}",
            hint=hint,
        )


def _labelled(file: ProjectFile, text: str, labels: list[str], roles: list[str], pattern: str) -> str:
    """The text in which these labels have these files too; a label that is new is seen by `roles`."""
    known = file.tables["knowledge"].setdefault("labels", {})
    if roles and not set(labels) - known.keys():
        raise invalid("roles", "are for a label that is new: those of one that is there stand in assent.toml")
    if not all(roles):
        raise invalid("roles", "must be names of roles")
    for label in labels:
        _require_name("labels", label, "labels")
        if label not in known:
            if not roles:
                hint = did_you_mean(label, [*known], otherwise="say who may see what has it: `--role ROLE`")
                raise InputError("INVALID_INPUT", f"there is no label `{label}`", path="labels", hint=hint)
            known[label] = {"paths": [pattern], "roles": roles}
            text = file.with_table(text, f"knowledge.labels.{toml_key(label)}", known[label])
        elif pattern not in known[label]["paths"]:
            known[label]["paths"].insert(0, pattern)
            line, column = locate(text, ("knowledge", "labels", label, "paths"))
            at = sum(map(len, text.splitlines(keepends=True)[: line - 1])) + column
            opened = text.find("[", text.find("=", at)) + 1
            text = f"{text[:opened]}{toml(pattern)}, {text[opened:]}"
    if not known:
        del file.tables["knowledge"]["labels"]
    return text


@contextmanager
def following(settings: Settings, names: Sequence[str], sweep_ms: int) -> Iterator[Following]:
    """Follow these repositories, all where none is named. KNOWLEDGE_REPOSITORY_UNKNOWN, KNOWLEDGE_WATCHED where another does."""
    from assent.capabilities.knowledge import FolderEvents, Following
    from assent.invocation import CancelToken
    from assent.runtime.service._interrupts import termination_interrupts
    from assent.runtime.wiring.knowledge import library_of

    library = library_of(settings)
    folders = {name: library.folder_of(name) for name in names or library.repositories}
    settings.create_state()
    with (
        termination_interrupts(),
        _alone(settings.state / STORE),
        library.folder() as folder,
        closing(FolderEvents(settings.workspace)) as events,
    ):
        archives = library.archives(CancelToken())
        clock_ms = system.SystemClock().monotonic_ms
        yield Following(
            folder, events, folders, clock_ms, sweep_ms, ignores=library.ignores(folder), archives=archives
        )


@contextmanager
def _alone(store: Path) -> Iterator[None]:
    """Two that follow would index everything twice. The kernel opens the lock of a process however it ends."""
    store.mkdir(mode=0o700, exist_ok=True)
    held = os.open(store / _WATCHED, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise WorldError(
            "KNOWLEDGE_WATCHED",
            "another process watches this workspace",
            path=str(store / _WATCHED),
            hint="one is enough: it follows all repositories, or those that it was started with",
        ) from None
    try:
        yield
    finally:
        os.close(held)
