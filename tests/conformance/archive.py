"""`sys.archive.*`: a tree packed, and an archive unpacked into a new folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from assent.errors import Json
from tests.conformance.case import Case, Escape, Stage
from tests.conformance.fs import FILES, escapes
from tests.support.archives import TarEntry, ZipEntry, pax, tar_of, zip_of

_PACK: Final[Mapping[str, Json]] = {
    "sources": ["docs", "a.txt"],
    "destination": "x/out.tar.gz",
    "create_dirs": True,
}
_UNPACK: Final[Mapping[str, Json]] = {"source": "in.zip", "destination": "x/y", "create_dirs": True}
_ZIP: Final = zip_of(
    ZipEntry(name=b"d/", mode=0o40755, method=0),
    ZipEntry(name=b"d/run.sh", data=b"#!/bin/sh\n", mode=0o100755),
    ZipEntry(name=b"d/e/b.bin", data=bytes(range(256)) * 9),
)


def _bringing(name: str, data: bytes) -> Callable[[Stage], object]:
    return lambda stage: stage.write(name, data)


def _hostile(name: str, data: bytes, *codes: str) -> Escape:
    return Escape({"source": name, "destination": "x"}, codes, arrange=_bringing(name, data))


_LINK: Final = TarEntry(name=b"way", kind=b"2", link=b"../outside")
_HOSTILE: Final = (
    _hostile("h1.zip", zip_of(ZipEntry(name=b"../../outside/evil", data=b"x")), "ARCHIVE_ESCAPES"),
    _hostile("h2.tar", tar_of(TarEntry(name=b"../../outside/evil", data=b"x")), "ARCHIVE_ESCAPES"),
    _hostile("h3.tar", tar_of(pax(path="/outside/evil"), TarEntry()), "ARCHIVE_ESCAPES"),
    _hostile("h4.tar", tar_of(_LINK, TarEntry(name=b"way/evil", data=b"x")), "ARCHIVE_KIND_REFUSED"),
    _hostile(
        "h5.tar",
        tar_of(TarEntry(name=b"f", kind=b"1", link=b"../outside/canary.txt")),
        "ARCHIVE_KIND_REFUSED",
    ),
    _hostile(
        "h6.zip",
        zip_of(ZipEntry(name=b"l", data=b"../outside/canary.txt", mode=0o120777)),
        "ARCHIVE_KIND_REFUSED",
    ),
    _hostile("h7.zip", zip_of(ZipEntry(name=b".assent/ledger.db", data=b"x")), "PATH_PROTECTED"),
    _hostile("h8.zip", zip_of(ZipEntry(name=b"assent.toml", data=b"x")), "PATH_PROTECTED"),
    _hostile("h9.zip", zip_of(ZipEntry(name=b"zeros", data=bytes(6 << 20))), "ARCHIVE_QUOTA"),
)

CASES: Final = (
    Case(
        "sys.archive.pack",
        _PACK,
        FILES,
        bad=[
            {"sources": [], "destination": "x.zip"},
            {"sources": ["a.txt"], "destination": "x.zip", "format": "rar"},
        ],
        escapes=[
            *escapes(
                {"sources": ["a.txt"], "overwrite": True, "format": "zip"},
                "destination",
                writes=["destination"],
            ),
            *(
                Escape(
                    {"sources": [one.inputs["path"]], "destination": "x.zip"}, one.codes, arrange=one.arrange
                )
                for one in escapes({}, "path")
                if isinstance(one.inputs, Mapping)
            ),
        ],
    ),
    Case(
        "sys.archive.unpack",
        _UNPACK,
        {**FILES, "in.zip": _ZIP},
        bad=[
            {**_UNPACK, "bytes_max": 0},
            {**_UNPACK, "entries_max": 1_000_000},
            {**_UNPACK, "ratio_max": 0},
            {**_UNPACK, "depth_max": 1000},
        ],
        escapes=[
            *escapes({"destination": "x", "format": "zip"}, "source"),
            *escapes({"source": "in.zip"}, "destination"),
            *_HOSTILE,
        ],
    ),
)
