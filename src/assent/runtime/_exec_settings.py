"""`[exec]` of assent.toml: which programs may be run, by whom and with what. Without a rule none is.

[exec.rules.builds]
programs = ["make", "python3"]
principals = ["agent:*"]
environment = ["VERSION"]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assent.errors import Json

if TYPE_CHECKING:
    from assent.capabilities.exec import ProgramRule

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_PATTERN: Final = re.compile(r"[A-Za-z_*][A-Za-z0-9_*]{0,127}")


# -- what a file may say ------------------------------------------------------------------------------------------------


def read_programs(value: object) -> Json:
    """Check `programs`; ValueError with the rest of the sentence."""
    programs = _texts(
        value, 'must be a list of programs: `["make", "/opt/tool/bin/tool", "./scripts/build"]`'
    )
    wrong = next((one for one in programs if not _is_program(one)), None)
    if wrong is not None:
        raise ValueError(
            f"can't hold `{wrong[:80]}`: a program is a bare name, an absolute path, or `./` and a path in the workspace"
        )
    return [*dict.fromkeys(programs)]


def read_principals(value: object) -> Json:
    """Check `principals`."""
    return [*dict.fromkeys(_texts(value, 'must be a list of principals: `["agent:*", "user:ada"]`'))]


def read_places(value: object) -> Json:
    """Check `read_only`."""
    return [*dict.fromkeys(_texts(value, 'must be a list of folders and files: `["/opt/toolchain"]`'))]


def read_patterns(value: object) -> Json:
    """Check `environment`."""
    names = _texts(value, 'must be a list of names of variables: `["VERSION", "CI_*"]`')
    return [*dict.fromkeys(_named(names, _PATTERN))]


def read_names(value: object) -> Json:
    """Check `inherit`."""
    return [
        *dict.fromkeys(_named(_texts(value, 'must be a list of names of variables: `["TZ"]`'), _VARIABLE))
    ]


def read_set(value: object) -> Json:
    """Check `set`."""
    if not isinstance(value, dict) or not all(
        isinstance(one, str) and "\0" not in one for one in value.values()
    ):
        raise ValueError('must be a table of texts: `{ SOURCE_DATE_EPOCH = "0" }`')
    _named([*value], _VARIABLE)
    return value


def _is_program(text: str) -> bool:
    if "\0" in text or text.endswith("/"):
        return False
    inner = text.removeprefix("./")
    if text.startswith("./"):
        return not inner.startswith("/") and ".." not in inner.split("/")
    return text.startswith("/") or ("/" not in text and text not in {".", ".."})


def _texts(value: object, what: str) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise ValueError(what)
    return value


def _named(names: list[str], pattern: re.Pattern[str]) -> list[str]:
    wrong = next((name for name in names if not pattern.fullmatch(name)), None)
    if wrong is not None:
        raise ValueError(f"can't hold `{wrong[:80]}`: it is no name of a variable")
    return names


# -- what it means ------------------------------------------------------------------------------------------------------


def rule_of(name: str, said: Mapping[str, Json], absolute: Callable[[str], Path]) -> ProgramRule:
    """The rule that a table of this name says."""
    from assent.capabilities.exec import ProgramRule

    def listed(key: str) -> tuple[str, ...]:
        value = said.get(key)
        return tuple(map(str, value)) if isinstance(value, list) else ()

    given = said.get("set")
    return ProgramRule(
        name=name,
        programs=listed("programs"),
        principals=listed("principals"),
        network=said.get("network") is True,
        read_only=tuple(map(absolute, listed("read_only"))),
        environment=listed("environment"),
        inherit=listed("inherit"),
        set={key: str(value) for key, value in given.items()} if isinstance(given, dict) else {},
    )
