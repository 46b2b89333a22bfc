"""Events of a folder, as a test tells them."""

from __future__ import annotations

from collections.abc import Collection


class Told:
    """Events as a test tells them, and a clock that goes on while nothing is told."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.watched: Collection[str] = ()
        self.now_ms = 0

    def over(self, folders: Collection[str]) -> None:
        self.watched = folders

    def wait(self, timeout_ms: int) -> list[str]:
        self.now_ms += 1 if self.paths else timeout_ms
        found, self.paths = self.paths, []
        return found

    def clock_ms(self) -> int:
        return self.now_ms
