"""A new plugin: a project that passes its own contract, to be changed into what is wanted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from assent.errors import InputError, WorldError
from assent.plugins._declaration import PLUGIN_NAME
from assent.plugins._sources import NAME_LENGTH_MAX
from assent.plugins._template import FILES


def new_plugin(name: str, folder: Path, *, version: str) -> list[Path]:
    """The files of a new project in a folder that is made for it. `version`: the Assent that it is made with.

    Raises `InputError` PLUGIN_INVALID for a name that no plugin may have, PLUGIN_EXISTS; `WorldError` WORKSPACE_UNUSABLE.
    """
    if not PLUGIN_NAME.match(name) or len(name) > NAME_LENGTH_MAX:
        raise InputError(
            "PLUGIN_INVALID",
            f"`{name[:80]}` is no name of a plugin",
            hint=f"lower-case letters and digits, with `-`, `_` or `.` between, at most {NAME_LENGTH_MAX} characters",
        )
    made: list[Path] = []
    try:
        # Made by us or not at all: nothing that stands there already is overwritten or joined.
        folder.mkdir(parents=True)
        for path, text in sorted(project_files(name, version=version).items()):
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
            made.append(place)
    except FileExistsError:
        raise InputError(
            "PLUGIN_EXISTS", f"`{folder}` is there already", path=str(folder), hint="nothing was written"
        ) from None
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise WorldError(
            "WORKSPACE_UNUSABLE", f"the plugin can't be written: {reason}", path=str(folder)
        ) from error
    return made


_MINOR: Final = 2


def project_files(name: str, *, version: str) -> dict[str, str]:
    """The text of each file of a new project, by its path in it."""
    word = name.replace("-", "_").replace(".", "_")
    module = f"{word}_plugin"
    numbers = version.split(".")
    above = f"{numbers[0]}.{int(numbers[1]) + 1}" if numbers[0] == "0" else str(int(numbers[0]) + 1)
    replaced = {
        "@NAME@": name,
        "@MODULE@": module,
        "@WORD@": word,
        "@TITLE@": word.replace("_", " ").capitalize(),
        "@ASSENT@": f">={'.'.join(numbers[:_MINOR])},<{above}",
    }
    files = {}
    for path, content in FILES.items():
        for mark, value in replaced.items():
            path, content = path.replace(mark, value), content.replace(mark, value)  # noqa: PLW2901 - it is filled in
        files[path] = content
    return files
