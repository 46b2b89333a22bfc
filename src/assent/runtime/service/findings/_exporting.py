"""A report of a project's findings, in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Final

from assent.journal import state_unusable
from assent.runtime.runs._findings import FindingsStore
from assent.runtime.service import answers, requests
from assent.runtime.service.findings._looking import wanted
from assent.runtime.service.findings._words import words
from assent.spec.words.durations import instant

if TYPE_CHECKING:
    from assent.runtime.service._reading import Record

_MEMORY_BYTES_MAX: Final = 1 << 20
_PIECE_BYTES: Final = 64 << 10


async def _findings_export(record: Record, request: requests.FindingsExport) -> AsyncIterator[answers.Chunk]:
    """The report is whole before any of it is told: a reader may take its time, and no log of SQLite's can be emptied before
    those have ended who look at the store. While it is made, chunks without bytes let whoever waits for it leave.
    """
    from assent import __version__
    from assent.findings.reports import Format, Info, write_report

    asked, (form,) = wanted(record, request), words((request.format,), Format, "format")
    state = record.settings.state
    try:
        with SpooledTemporaryFile(_MEMORY_BYTES_MAX, dir=str(state)) as report:
            with FindingsStore(record.settings).looking() as book:
                number, ident, name = book.project(request.project)
                info = Info.of_project(
                    name or ident, generated_at=instant(book.now_ms), tool_version=__version__
                )
                found = partial(book.stream, number, asked)
                for data in write_report(form, lambda: (one.reported for one in found()), info):
                    report.write(data)
                    yield answers.Chunk(data=b"")
            report.seek(0)
            while data := report.read(_PIECE_BYTES):
                yield answers.Chunk(data=data)
    except OSError as error:
        raise state_unusable(state, error) from error
