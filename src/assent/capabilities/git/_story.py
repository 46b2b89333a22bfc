"""Who says what in a reflog and in a commit."""

from __future__ import annotations

from assent.capabilities.git._change import LogEdit
from assent.capabilities.git._layout import Repository
from assent.invocation import EntryKind, LocalContext

NOBODY = "0" * 40


class Author:
    """The person and the moment of one call, the same in everything that it writes."""

    def __init__(
        self, context: LocalContext, repository: Repository, name: str | None = None, email: str | None = None
    ) -> None:
        self.name, self.email = repository.home.who(context.principal, name, email)
        self.seconds = context.app.clock.now_ms() // 1000
        self._run = f"{context.run} {context.step}"

    @property
    def signature(self) -> str:
        """As git writes a person."""
        return f"{self.name} <{self.email}> {self.seconds} +0000"

    def log(self, repository: Repository, name: str, old: str | None, new: str | None, what: str) -> LogEdit:
        """One line for a reflog, and the line that its undo will write."""
        old, new = old or NOBODY, new or NOBODY
        found = repository.files.stat(f"{repository.git}/logs/{name}")
        return LogEdit(
            name,
            f"{old} {new} {self.signature}\t{what} (assent {self._run})\n",
            f"{new} {old} {self.signature}\tundo: {what} (assent {self._run})\n",
            is_new=found is None or found.kind is not EntryKind.FILE,
        )


def log_of(repository: Repository, name: str) -> bytes | None:
    """A reflog as it stands."""
    path = f"{repository.git}/logs/{name}"
    entry = repository.files.stat(path)
    if entry is None or entry.kind is not EntryKind.FILE:
        return None
    return b"".join(repository.files.read(path))
