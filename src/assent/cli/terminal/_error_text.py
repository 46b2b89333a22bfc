"""An error for people: what, where with the line of the file, and what to do now. One block per cause.

Faults of one file stand in its order, to be mended from top to bottom. Of others the first one is last, nearest the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from assent.cli.terminal._style import Paint
from assent.errors import AssentError
from assent.spec.values.json_fields import Object, mapping, number, text
from assent.spec.words.legible import hanging, safe_line

FAULTS_SHOWN: Final = 20
PRINTED_SHOWN: Final = 10
"""The last lines of what a program printed before it failed."""
_MORE: Final = re.compile(r" \(and \d+ more\)\Z")
_PLACE: Final = re.compile(r"(?P<file>.+?):(?P<line>\d+)(?::(?P<column>\d+))?\Z", re.DOTALL)
_SHOWN_FILE_BYTES: Final = 1 << 20

Explain = Callable[[str], "str | None"]


def error_text(error: AssentError, *, paint: Paint) -> str:
    """The error and the others that were found with it."""
    data = error.to_dict()
    others = list(_others(data))
    if mapping(data, "details").get("faults"):
        data["message"] = _MORE.sub("", error.message)  # The others stand above it.
    found = _in_file_order([data, *others])
    blocks = [fault_text(fault, paint=paint) for fault in (found or [data, *others])[:FAULTS_SHOWN]]
    if len(others) >= FAULTS_SHOWN:
        blocks.append(paint(f"… and {len(others) - FAULTS_SHOWN + 1} more", "dim"))
    return "\n\n".join(blocks if found else reversed(blocks))


def _in_file_order(faults: list[Object]) -> list[Object]:
    """The faults in the order of the file in which all of them are; empty where they are not in one."""
    places = [_PLACE.match(_place(fault)) for fault in faults]
    if len({place["file"] if place else None for place in places}) > 1 or None in places:
        return []
    lines = [(int(place["line"]), int(place["column"] or 0)) for place in places if place]
    return [fault for _, fault in sorted(zip(lines, faults, strict=True), key=lambda one: one[0])]


def left_out_text(fault: AssentError, *, paint: Paint) -> str:
    """Why a plugin is not here, for whoever misses what it brings: a line, and what to do about it."""
    where = f" ({safe_line(fault.path)})" if fault.path else ""
    line = f"left out: {safe_line(fault.message, 200)}{where}"
    return f"{line}\n {paint('help:', 'cyan')} {hanging(fault.hint)}" if fault.hint else line


def _others(error: Object) -> Iterator[Object]:
    """What was found with the error and is not said by it already, each with a code: its own, or that of the whole."""
    listed = mapping(error, "details").get("faults")
    said, where = text(error, "message").casefold(), text(error, "path")
    for item in listed if isinstance(listed, list) else []:
        fault: Object = item if isinstance(item, dict) else {"message": str(item)}
        code, path, message = text(fault, "code"), text(fault, "path"), text(fault, "message")
        # A list of names and indexes is the place of a parameter, which the message names too.
        is_named = not path or path == where or isinstance(fault.get("path"), list)
        if is_named and code in ("", text(error, "code")) and message.casefold() in said:
            continue
        yield fault if code else {**fault, "code": text(error, "code")}


def fault_text(error: Object, *, paint: Paint, head: str | None = None) -> str:
    """One error object: what, where with the line of the file, and what to do; `head` stands before it instead of `error:`."""
    code = safe_line(text(error, "code"))
    said = f"{head or paint('error:', 'red')} {paint(hanging(text(error, 'message')), 'bold')}"
    lines = [f"{said}   [{code}]" if code else said]
    path = _place(error)
    if path and f"`{path}`" not in text(error, "message"):
        lines.append(f"  {paint('-->', 'blue')} {safe_line(path)}")
        snippet = _snippet(path, number(mapping(error, "details"), "length") or 1)
        if snippet:
            lines.append(snippet)
    printed = text(mapping(error, "details"), "printed").rstrip().splitlines()
    if len(printed) > 1:  # the message has the last line
        lines += [
            paint("  it printed:", "dim"),
            *(f"    {safe_line(one, 200)}" for one in printed[-PRINTED_SHOWN:]),
        ]
    hint = text(error, "hint")
    if hint:
        lines.append(f" {paint('help:', 'cyan')} {hanging(hint)}")
    return "\n".join(lines)


def _place(error: Object) -> str:
    """Where the fault is; of a parameter as people write it, `lines[3].qty`."""
    path = error.get("path")
    if not isinstance(path, list):
        return text(error, "path")
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _snippet(path: str, length: int) -> str:
    found = _PLACE.match(path)
    if found is None or found["column"] is None:
        return ""
    from assent.spec.documents.document import render_snippet

    try:
        with Path(found["file"]).open("rb") as file:
            source = file.read(_SHOWN_FILE_BYTES).decode("utf-8", errors="replace")
    except (OSError, ValueError):
        return ""  # A place in a file that is gone is still a place.
    drawn = render_snippet(source.removeprefix("\ufeff"), int(found["line"]), int(found["column"]), length)
    return "\n".join(f" {line}" for line in drawn.splitlines())
