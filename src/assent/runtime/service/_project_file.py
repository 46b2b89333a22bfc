"""assent.toml as a command edits it: a person's file is not made anew, so its comments stay."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from assent.errors import InputError
from assent.runtime.settings._configuration import PROJECT_FILE
from assent.runtime.settings.effective import Settings
from assent.spec.documents.toml import parse_toml


class ProjectFile:
    """The file as it stands, which need not exist. `table` is the one that is edited; `tables` is what the file shall say."""

    def __init__(self, settings: Settings, table: str) -> None:
        """`InputError` CONFIG_INVALID."""
        self.path: Final = settings.config_path or settings.workspace / PROJECT_FILE
        self.text: Final = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        self.tables: Final = self._read(self.text)
        self._table = table

    def with_table(self, text: str, name: str, said: Mapping[str, object]) -> str:
        """A text with a table more."""
        lines = [f"[{name}]", *(f"{key} = {toml(value)}" for key, value in said.items())]
        return "\n".join([*([text.rstrip("\n"), ""] if text.strip() else []), *lines, ""])

    def write(self, text: str) -> None:
        """Put this text there, if it says just `tables`: else it is left alone, and CONFIG_INVALID says so."""
        from assent.plugins._lock_file import replace_file

        try:
            now = self._read(text)
        except InputError:
            now = {}
        if _plain(now) != _plain(self.tables):
            raise InputError(
                "CONFIG_INVALID",
                "assent.toml is written in a way that can't be edited safely",
                path=str(self.path),
                hint=f"change `[{self._table}]` there by hand",
            )
        replace_file(self.path, text, "configuration", mode=0o644)

    def _read(self, text: str) -> dict[str, Any]:  # `Any`: what TOML holds
        return parse_toml(text.encode(), str(self.path), code="CONFIG_INVALID")[0]


def _plain(tables: Mapping[str, Any]) -> Mapping[str, Any]:  # `Any`: as above
    """Without tables of ours that nothing is left in, which no file has to name."""
    mcp = {key: one for key, one in tables.get("mcp", {}).items() if key != "servers" or one}
    rest = {key: one for key, one in tables.items() if key != "mcp"}
    return {**rest, "mcp": mcp} if mcp else rest


def toml(value: object) -> str:
    """A value as TOML writes it, in one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list() | tuple():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            inner = ", ".join(
                f"{json.dumps(key, ensure_ascii=False)} = {toml(one)}" for key, one in value.items()
            )
            return f"{{ {inner} }}"
        case _:
            raise AssertionError("nothing else is written")


def invalid(key: str, why: str) -> InputError:
    """What was said under this key can't be."""
    return InputError("INVALID_INPUT", f"`{key}` {why}", path=key)
