"""What calls on findings share: the store as the ledger has it, the tools that are known, and files that were handed over."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final
from unicodedata import normalize

import msgspec
from pydantic import Field

from assent.capabilities.handed import Handed
from assent.errors import InputError
from assent.findings.book import Looking, Removal, Removed
from assent.findings.parsing import Parser, Tools, built_in_tools, read_parser
from assent.invocation import NoEffectError
from assent.spec.spelled_fields import PROJECT_FORMAT
from assent.spec.words.legible import seen

PROJECT_CHARACTERS_MAX: Final = 128
MANIFEST_BYTES_MAX: Final = 256 << 10
MANIFESTS_MAX: Final = 200

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OF_A_NAME: Final = re.compile(r".{14}8.{4}[89ab].{16}")

ProjectName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=PROJECT_CHARACTERS_MAX,
        description="the name of a project, or a UUID for one without a name; a new one makes the project",
        json_schema_extra={"format": PROJECT_FORMAT},
    ),
]


def project_of(said: str) -> tuple[str, str | None]:
    """The id of a project, and its name unless it has none: the same for the same name on every machine (a UUID of version 8).

    There is one way to say each, so that a rule of the policy about a name is about its project: a UUID that is made of a name
    is refused. `NoEffectError` PROJECT_NAME_INVALID.
    """
    folded = said.lower()
    if _UUID.fullmatch(folded):
        if _OF_A_NAME.fullmatch(folded):
            raise NoEffectError(
                "PROJECT_NAME_INVALID",
                f"`{folded}` is the id of a project that has a name, and a call must say the name",
                hint="`assent findings projects` shows the names",
            )
        return folded, None
    if (
        not said.strip()
        or said != said.strip()
        or len(said) > PROJECT_CHARACTERS_MAX
        or not said.isprintable()
        or seen(said) != said
        or normalize("NFKC", said) != said  # Another project would look the same.
    ):
        raise NoEffectError(
            "PROJECT_NAME_INVALID",
            f"a project must have a name of 1 to {PROJECT_CHARACTERS_MAX} characters that can be seen, or a UUID",
            hint="write it without characters that nobody sees, and in Unicode's form NFKC (`é` as one character)",
        )
    digest = sha256(b"assent project\0" + said.encode()).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}", said


class Desk(msgspec.Struct, frozen=True):
    """What the roof offers."""

    looking: Callable[[str], AbstractContextManager[Looking]]
    """The store, folded up to what the ledger has now, with all that the run that is named has done so far."""
    count_old: Callable[[str, Removal], Removed]
    """What removing by age would remove of that, likewise."""
    stands: Callable[[str, str, Collection[tuple[str, str]] | None], bool]
    """Whether what a triage, by its run and step, decided is what is decided now. Of an undo that is only tried, with the steps
    that it would have taken back by then."""
    unfinished: Callable[[], list[str]]
    """The runs that have not ended."""
    now_ms: Callable[[], int]
    handed: Handed
    release: str
    """Of Assent, as reports tell it."""
    manifests: Path | None
    """The folder with the workspace's own manifests of tools."""

    def tools(self) -> Tools:
        """Ours, and the workspace's own, which come before ours of the same name."""
        return known_tools(self.manifests)


def known_tools(folder: Path | None) -> Tools:
    """Ours, and those that `folder` describes. Blocks."""
    own = own_tools(folder)
    return Tools({**built_in_tools(), **own.parsers}, own.faults)


def own_tools(folder: Path | None) -> Tools:
    """What `folder` describes: a file with a fault hurts no other. Blocks."""
    parsers: dict[str, Parser] = {}
    faults: dict[str, InputError] = {}
    paths = sorted(folder.glob("*.toml")) if folder is not None else []
    for number, path in enumerate(paths):
        assert folder is not None, "only a folder has files"
        where = f"{folder.name}/{path.name}"
        try:
            if number >= MANIFESTS_MAX:
                raise _invalid(where, f"stands behind the first {MANIFESTS_MAX}, which is all that are read")
            data = read_manifest(path, MANIFEST_BYTES_MAX, partial(_invalid, where))
            parsers[path.stem] = read_parser(data, where)
        except InputError as error:
            faults[path.stem] = error
    return Tools(parsers, faults)


def read_manifest(path: Path, most: int, invalid: Callable[[str], InputError]) -> bytes:
    """A file of a folder of manifests, of `most` bytes. `invalid`: the error of one of which that is wrong. Blocks."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise invalid(f"can't be read: {(error.strerror or str(error)).lower()}") from None
    if len(data) > most:
        raise invalid(f"has more than {most} bytes")
    return data


def _invalid(where: str, what: str) -> InputError:
    return InputError("TOOL_MANIFEST_INVALID", f"the manifest `{where}` {what}", path=where)
