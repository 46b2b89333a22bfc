"""What a caller sets, and the words of a command line that come of it. Values are checked here; no shell ever sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from assent.capabilities.scan._manifest import Option, Tool, groups, placeholders
from assent.capabilities.scan._written import Ports, ranges_of
from assent.invocation import NoEffectError
from assent.spec.words.suggestions import did_you_mean

Given: TypeAlias = "Mapping[str, str | int | bool]"

PORTS_CHARACTERS_MAX: Final = 1024
_PLACES: Final = ("file", "folder", "path")
_FLAGS: Final = {"true": True, "false": False}


def options_of(tool: Tool, given: Given) -> dict[str, str | bool]:
    """Every option that is set, as text or, of a flag, as itself. `NoEffectError` OPTION_INVALID."""
    for name in given:
        if name not in tool.options:
            known = ", ".join(tool.options) or "none"
            raise _invalid(
                name,
                f"`{tool.tool}` has no option `{name[:80]}`",
                did_you_mean(name, tool.options, otherwise=f"it has: {known}"),
            )
    found: dict[str, str | bool] = {}
    for name, option in tool.options.items():
        value = given.get(name, option.default)
        if value is not None:
            found[name] = _read(name, option, value)
        elif option.required:
            form = (
                f"`--option {name}={option.form.upper() if option.type in _PLACES else '…'}`: {option.about}"
            )
            raise _invalid(name, f"`{tool.tool}` needs the option `{name}`", form)
    return found


def _read(name: str, option: Option, value: str | int | bool) -> str | bool:  # noqa: FBT001  # any of the three
    if option.type == "flag":
        # A command line says it in words.
        flag = _FLAGS.get(value) if isinstance(value, str) else value
        if not isinstance(flag, bool):
            raise _invalid(name, f"`{name}` must be true or false")
        return flag
    if option.type == "number":
        return _number(name, option, value)
    text = "" if isinstance(value, bool) else str(value)
    # INVARIANT: no value begins a word as an option would.
    if not text or text.startswith("-") or not text.isprintable():
        raise _invalid(name, f"`{name}` must be text that does not begin with `-`")
    if option.type == "choice" and text not in option.choices:
        raise _invalid(name, f"`{name}` must be one of {', '.join(f'`{one}`' for one in option.choices)}")
    if option.type == "ports":
        ports_of(name, text)
    if option.type == "text" and not re.fullmatch(option.pattern, text):
        raise _invalid(name, f"`{name}` must be {option.about}", f"it has the form `{option.pattern}`")
    return text


def _number(name: str, option: Option, value: str | int | bool) -> str:  # noqa: FBT001  # as above
    said = str(value)
    if (
        isinstance(value, bool)
        or not re.fullmatch("[0-9]{1,18}", said)
        or not option.least <= int(said) <= option.most
    ):
        raise _invalid(name, f"`{name}` must be a whole number between {option.least} and {option.most}")
    return str(int(said))


def ports_of(name: str, text: str) -> Ports:
    """The ports of `80,443,8000-8100`. `NoEffectError` OPTION_INVALID."""
    try:
        return ranges_of(text.split(",") if len(text) <= PORTS_CHARACTERS_MAX else [""])
    except ValueError:
        raise _invalid(name, f"`{name}` must be ports and ranges: `80,443,8000-8100`") from None


def words_of(tool: Tool, values: Mapping[str, str | bool]) -> tuple[str, ...]:
    """The arguments: the template with its values. A group with a value that is not there, or a flag that is off, is left out."""
    return tuple(word for group in groups(tool) for word in _words(group, values))


def _words(group: tuple[str, ...], values: Mapping[str, str | bool]) -> Iterator[str]:
    named = {name for word in group for name in placeholders(word)}
    if any(values.get(name, False) is False for name in named):
        return
    for word in group:
        # A flag that is on is told by the words beside it.
        if any(values[name] is True for name in placeholders(word)):
            continue
        yield word.format_map(values)


def _invalid(name: str, message: str, hint: str | None = None) -> NoEffectError:
    return NoEffectError("OPTION_INVALID", message, path=f"options.{name[:80]}", hint=hint)
