"""A store in a file of SQLite: findings as they were written, beside the columns that they are looked for by.

A batch is one transaction. A finding is one blob; ids, projects and fingerprints are binary. Each filter that is common has an
index in the order of the pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from assent.errors import Json
from assent.findings._sqlite import Database, told
from assent.findings.finding import Finding, Severity, read_finding
from assent.findings.store._border import (
    already_there,
    judged,
    judged_after,
    judged_document,
    judged_limit,
    opened,
)
from assent.findings.store.ports import PAGE_FINDINGS_MAX, STORE_SCHEMA_VERSION, Given, Page, Saved, Where

_MIGRATIONS: Final = (
    """
    CREATE TABLE finding (
        id BLOB NOT NULL, project BLOB NOT NULL, severity INTEGER NOT NULL, detector TEXT NOT NULL, run TEXT, print BLOB,
        body BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX finding_id ON finding (id);
    CREATE INDEX finding_project ON finding (project, id);
    CREATE INDEX finding_severity ON finding (project, severity, id);
    CREATE INDEX finding_detector ON finding (project, detector, id);
    CREATE INDEX finding_run_print ON finding (project, run, print) WHERE run IS NOT NULL;
    CREATE INDEX finding_run ON finding (project, run, id) WHERE run IS NOT NULL;
    CREATE INDEX finding_print ON finding (project, print, id) WHERE print IS NOT NULL;
    CREATE TABLE document (name TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
    """,
)
"""The steps from an empty file to the schema of now. One that was released is never changed."""

_SEVERITIES: Final = {one: number for number, one in enumerate(Severity)}
_told: Final = told("the store of findings")


class SqliteStore:
    """Findings in a file that only its owner may read. For one thread."""

    @_told
    def __init__(self, path: Path) -> None:
        self._file = Database(path, _MIGRATIONS, "the store of findings")
        self._db = self._file.db

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @_told
    def atomic_write(self, name: str, document: Mapping[str, Json]) -> None:
        """Keep a document by name."""
        body = judged_document(name, document)
        self._db.execute("INSERT OR REPLACE INTO document VALUES (?, ?)", (name, body))

    @_told
    def read_document(self, name: str) -> dict[str, Json] | None:
        """A copy of what was kept by name."""
        found = self._db.execute("SELECT body FROM document WHERE name = ?", (name,)).get
        return None if found is None else opened(found)

    @_told
    def validate_store_layout(self) -> bool:
        """Whether the file is whole and has the tables of its schema, as a new one has them."""
        return self._file.has_valid_layout()

    def get_schema_version(self) -> str:
        """The version of the store's schema."""
        return STORE_SCHEMA_VERSION

    def save_finding(self, finding: Given) -> None:
        """Keep one finding."""
        self.save_findings((finding,))

    @_told
    def save_findings(self, findings: Iterable[Given]) -> Saved:
        """Keep all of them or none."""
        new = known = 0
        add = "INSERT INTO finding VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        with self._file.whole():
            for one in map(judged, findings):
                body = one.to_json()
                row = (
                    _key(one.id), _key(one.project_id), _SEVERITIES[one.severity], one.detector_id, one.run_id or None,
                    bytes.fromhex(one.fingerprint.value) if one.fingerprint else None, body,
                )  # fmt: skip
                self._db.execute(add, row)
                if self._db.changes():
                    new += 1
                elif self._db.execute("SELECT body FROM finding WHERE id = ?", row[:1]).get == body:
                    known += 1
                else:
                    raise already_there(one)
        return Saved(new=new, known=known)

    def list_findings(self, project_id: str) -> list[Finding]:
        """All findings of a project."""
        return list(self.stream(project_id, Where()))

    @_told
    def page(self, project_id: str, where: Where, *, after: str | None = None, limit: int) -> Page:
        """The next findings after an id."""
        judged_limit(limit)
        behind = judged_after(after)
        tests = ["project = ?", "id > ?"]
        values: list[bytes | str | int] = [_key(project_id), _key(behind)]
        severities = [_SEVERITIES[one] for one in where.severities]
        for column, many in (("severity", sorted(severities)), ("detector", sorted(where.detectors))):
            if many:
                tests.append(f"{column} IN ({', '.join('?' * len(many))})")
                values += many
        if where.run_id is not None:
            tests.append("run = ?")
            values.append(where.run_id)
        if where.fingerprint is not None:
            tests.append("print = ?")
            values.append(_key(where.fingerprint))
        # The texts are ours; what was asked for is bound.
        query = f"SELECT body FROM finding WHERE {' AND '.join(tests)} ORDER BY id LIMIT {limit + 1}"  # noqa: S608
        found = [read_finding(body) for (body,) in self._db.execute(query, values)]
        return Page(findings=tuple(found[:limit]), next=found[limit - 1].id if len(found) > limit else None)

    def stream(self, project_id: str, where: Where) -> Iterator[Finding]:
        """All findings that fit, page by page."""
        after = None
        while True:
            page = self.page(project_id, where, after=after, limit=PAGE_FINDINGS_MAX)
            yield from page.findings
            if page.next is None:
                return
            after = page.next

    @_told
    def delete_project(self, project_id: str) -> None:
        """Remove all findings of a project."""
        self._db.execute("DELETE FROM finding WHERE project = ?", (_key(project_id),))


def _key(digits: str) -> bytes:
    """What an id, a project or a fingerprint is looked for by; of what is none of these, nothing that anything has."""
    try:
        return bytes.fromhex(digits.replace("-", ""))
    except ValueError:
        return b""
