"""What calls on findings share: the store as the ledger has it, the tools that are known, and files that were handed over."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

import msgspec
from pydantic import Field

from assent.capabilities.handed import Handed
from assent.errors import InputError
from assent.findings.book import Looking, Removal, Removed
from assent.findings.parsing import Parser, built_in_tools, read_manifest
from assent.invocation import NoEffectError
from assent.spec.spelled_fields import PROJECT_FORMAT

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
    ):
        raise NoEffectError(
            "PROJECT_NAME_INVALID",
            f"a project must have a name of 1 to {PROJECT_CHARACTERS_MAX} characters that can be seen, or a UUID",
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
    stands: Callable[[str, str], bool]
    """Whether what a triage, by its run and step, decided is what is decided now."""
    unfinished: Callable[[], list[str]]
    """The runs that have not ended."""
    now_ms: Callable[[], int]
    handed: Handed
    release: str
    """Of Assent, as reports tell it."""
    manifests: Path | None
    """The folder with the workspace's own manifests of tools."""

    def tools(self) -> Mapping[str, Parser]:
        """A parser for each manifest that there is. The workspace's own come before ours of the same name."""
        return {**built_in_tools(), **own_tools(self.manifests)}


def own_tools(folder: Path | None) -> dict[str, Parser]:
    if folder is None or not folder.is_dir():
        return {}
    paths = sorted(folder.glob("*.toml"))
    if len(paths) > MANIFESTS_MAX:
        raise InputError(
            "TOOL_MANIFEST_INVALID", f"`{folder.name}` holds more than {MANIFESTS_MAX} manifests"
        )
    found: dict[str, Parser] = {}
    for path in paths:
        try:
            with path.open("rb") as file:
                data = file.read(MANIFEST_BYTES_MAX + 1)
            if len(data) > MANIFEST_BYTES_MAX:
                raise InputError(
                    "TOOL_MANIFEST_INVALID",
                    f"`{path.name}` has more than {MANIFEST_BYTES_MAX} bytes",
                    path=path.name,
                )
            text = data.decode()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                "TOOL_MANIFEST_INVALID", f"`{path.name}` can't be read: {error}", path=path.name
            ) from None
        found[path.stem] = Parser(read_manifest(text, path.name))
    return found
