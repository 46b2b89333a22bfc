"""A new plugin: a project that passes its own contract, to be changed into what is wanted."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from assent.errors import InputError, WorldError
from assent.plugins.source._declaration import PLUGIN_NAME
from assent.plugins.source._sources import NAME_LENGTH_MAX

_INSTALLED: Final = Path(__file__).with_name("sample")
_SAMPLE: Final = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[3] / "examples" / "notes"
"""A wheel holds the repository's sample (see `pyproject.toml`)."""

_FILES: Final = (
    "pyproject.toml",
    "README.md",
    "src/notes_plugin/__init__.py",
    "src/notes_plugin/assent-plugin.toml",
    "src/notes_plugin/capabilities.py",
    "src/notes_plugin/contract.py",
    "tests/test_notes.py",
)


def new_plugin(name: str, folder: Path, *, version: str) -> list[Path]:
    """The files of a new project in a folder that is made for it. `version`: the Assent that it is made with.

    Raises `InputError` PLUGIN_INVALID for a name that no plugin may have, PLUGIN_EXISTS; `WorldError` WORKSPACE_UNUSABLE.
    """
    if not PLUGIN_NAME.match(name) or len(name) > NAME_LENGTH_MAX:
        raise InputError(
            "PLUGIN_INVALID",
            f"`{name[:80]}` is not a name of a plugin",
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


def project_files(name: str, *, version: str) -> dict[str, str]:
    """The text of each file of a new project, by its path in it: the sample's, under another name."""
    word = name.replace("-", "_").replace(".", "_")
    numbers = version.split(".")
    above = f"{numbers[0]}.{int(numbers[1]) + 1}" if numbers[0] == "0" else str(int(numbers[0]) + 1)

    said = {"Notes": word.replace("_", " ").capitalize(), "notes": name}

    def named(text: str) -> str:
        # Alone it is the plugin's name; in `notes_plugin` and `notes.add` it is what Python can say of it.
        pattern = r"((?<=[._])notes|notes(?=[._]))|[Nn]otes"
        text = re.sub(pattern, lambda found: word if found[1] else said[found[0]], text)
        needs = rf"\g<1>>={'.'.join(numbers[:2])},<{above}"
        return re.sub(r'(?<=assent)((?: = ")?)>=[\d.]+,<[\d.]+', needs, text)

    return {named(path): named((_SAMPLE / path).read_text(encoding="utf-8")) for path in _FILES}
