"""What is told of what the workspace holds."""

from __future__ import annotations

from assent.runtime.service.answers._base import Answer


class RepositoryWritten(Answer, frozen=True, kw_only=True):
    """A repository that was written into assent.toml.

    `replaces_whole`: it is the first, so that the whole workspace is none any more.
    """

    name: str
    folder: str
    labels: list[str]
    replaces_whole: bool
    path: str
