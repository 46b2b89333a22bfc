"""The files of a wheel, read in memory: it is never unpacked, and never larger than its limits say.

A zip file states the size of each entry, and may lie: what counts is what comes out, which is measured while it comes. Names that
two readers could understand differently (`..`, a drive, a backslash, the same name twice) make the whole file refused.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from assent.errors import InputError, Json

ENTRIES_MAX: Final = 5_000
"""Files of one wheel."""
ENTRY_BYTES_MAX: Final = 64 << 20
TOTAL_BYTES_MAX: Final = 256 << 20
RATIO_MAX: Final = 200
"""How many times larger than its packed form an entry may be; source code reaches 20."""
RATIO_FREE_BYTES: Final = 1 << 20
"""Entries up to this size may have any ratio: an empty table packs well."""

CODE: Final = "PLUGIN_WHEEL_INVALID"
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_METADATA: Final = ("METADATA", "entry_points.txt")


@dataclass(frozen=True, slots=True)
class Wheel:
    """What a wheel holds: `files` by the path that an installation gives them below its folder, `metadata` by their names."""

    files: Mapping[str, bytes]
    metadata: Mapping[str, bytes]


def read_wheel(data: bytes, source: str) -> Wheel:
    """The contents of a wheel. `InputError` PLUGIN_WHEEL_INVALID names `source` and tells every fault in `details.faults`."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read(archive, source)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        reason = str(error) or "it is damaged"
        raise _refused(source, [f"it can't be unpacked: {reason[:1].lower()}{reason[1:]}"]) from None


def _read(archive: zipfile.ZipFile, source: str) -> Wheel:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    faults = [fault for entry in entries if (fault := _fault(entry)) is not None]
    folded: dict[str, str] = {}
    for entry in entries:
        other = folded.setdefault(entry.filename.casefold(), entry.filename)
        if other is not entry.filename:
            faults.append(f"`{_shown(entry.filename)}` is in it twice")
    if len(entries) > ENTRIES_MAX:
        faults.append(f"it has {len(entries)} files, and at most {ENTRIES_MAX} are read")
    if sum(entry.file_size for entry in entries) > TOTAL_BYTES_MAX:
        faults.append(f"its files have more than {TOTAL_BYTES_MAX >> 20} MiB together")
    if faults:
        raise _refused(source, faults)
    files: dict[str, bytes] = {}
    metadata: dict[str, bytes] = {}
    left = TOTAL_BYTES_MAX
    for entry in sorted(entries, key=lambda one: one.filename):
        content = _content(archive, entry, min(left, ENTRY_BYTES_MAX), source)
        left -= len(content)
        folder, _, name = entry.filename.rpartition("/")
        if folder.endswith(".dist-info"):
            if name in _METADATA:
                metadata[name] = content
            continue
        place = _installed(entry.filename)
        if place in files:
            raise _refused(source, [f"`{_shown(place)}` would be installed twice"])
        files[place] = content
    return Wheel(files, metadata)


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int, source: str) -> bytes:
    with archive.open(entry) as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise _refused(source, [f"`{_shown(entry.filename)}` unpacks to more than it may"])
    return content


def _fault(entry: zipfile.ZipInfo) -> str | None:
    name = entry.filename
    shown = _shown(name)
    parts = name.split("/")
    if (
        name.startswith("/")
        or "\\" in name
        or ":" in parts[0]
        or any(part in ("", ".", "..") for part in parts)
    ):
        return f"`{shown}` is not a path below the wheel's own folder"
    if not name.isprintable():
        return f"`{shown}` is not a plain file name"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return f"`{shown}` is a link"
    if entry.flag_bits & 0x1:
        return f"`{shown}` is encrypted"
    if entry.compress_type not in _METHODS:
        return f"`{shown}` is packed in a way that wheels do not use"
    if entry.file_size > ENTRY_BYTES_MAX:
        return f"`{shown}` is larger than {ENTRY_BYTES_MAX >> 20} MiB"
    if entry.file_size > RATIO_FREE_BYTES and entry.file_size > RATIO_MAX * max(entry.compress_size, 1):
        return f"`{shown}` unpacks to more than {RATIO_MAX} times its size, as a bomb does"
    return None


def _installed(name: str) -> str:
    """Where an installation puts an entry: `x-1.data/purelib/a.py` stands beside everything else, as `a.py`."""
    top, _, rest = name.partition("/")
    scheme, _, inner = rest.partition("/")
    return inner if top.endswith(".data") and scheme in ("purelib", "platlib") and inner else name


def _shown(name: str) -> str:
    return name[:120].encode("ascii", "backslashreplace").decode()


def _refused(source: str, faults: list[str]) -> InputError:
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    told: list[Json] = [*faults[:100]]
    return InputError(
        CODE,
        f"the wheel can't be read: {faults[0]}{more}",
        path=source,
        hint="have it built anew from its source",
        details={"faults": told},
    )
