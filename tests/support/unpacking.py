"""Archives put into a workspace and unpacked there, and what they are refused with."""

from __future__ import annotations

from typing import Any

import pytest

from assent.invocation import NoEffectError
from tests.support.archives import (
    TarEntry,
    ZipEntry,
    pax,
    tar_of,
    zip_of,
)
from tests.support.hands import Hands


def refused(hands: Hands, name: str, data: bytes, **limits: Any) -> NoEffectError:
    """The error that unpacking is refused with; nothing may have changed."""
    (hands.root / name).write_bytes(data)
    before = hands.tree()
    found = refusal(hands, name, **limits)
    assert hands.tree() == before
    with pytest.raises(NoEffectError) as again:
        hands.preview("sys.archive.unpack", source=name, destination="out", **limits)
    assert again.value.code == found.code
    assert hands.tree() == before
    return found


def refusal(hands: Hands, name: str, **limits: Any) -> NoEffectError:
    """The error of unpacking an archive that stands there."""
    step = hands.step("sys.archive.unpack", source=name, destination="out", **limits)
    with pytest.raises(NoEffectError) as caught:
        step.prepare().execute()
    return caught.value


def unpacked(hands: Hands, name: str, data: bytes) -> set[str]:
    """The paths that come out."""
    (hands.root / name).write_bytes(data)
    step = hands.do("sys.archive.unpack", source=name, destination="out")
    found = {path.removeprefix("out/") for path in hands.tree() if path.startswith("out/")}
    step.compensate()
    return found


def tar_named(*names: str) -> bytes:
    """A tar with one file of each name, short ones in the header, others in an extended header."""
    entries: list[TarEntry] = []
    for name in names:
        raw = name.encode()
        plain = len(raw) <= 100 and b"\0" not in raw
        kind = b"5" if name.endswith("/") else b"0"
        entries += [TarEntry(name=raw, kind=kind)] if plain else [pax(path=name), TarEntry(kind=kind)]
    return tar_of(*entries)


def zip_named(*names: str) -> bytes:
    """A zip with one file of each name."""
    return zip_of(
        *(
            ZipEntry(name=name.encode(), mode=0o40755 if name.endswith("/") else 0o100644, method=0)
            for name in names
        )
    )
