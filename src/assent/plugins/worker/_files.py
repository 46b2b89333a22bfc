"""The files of a world over the pipe: which questions there are, and what they take, follows from the port at both ends.

What can't be asked in one message (bytes on their way, an entry) is written out; every other method of `Files` is one question
with the method's own arguments, in its own order.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final, get_type_hints

from assent.invocation.context.files import Files

_WRITTEN_OUT: Final = frozenset({"stat", "read", "write"})
_LOOKS: Final = frozenset({"list", "read_link", "temporary", "guard", "new_mode"})
"""What changes nothing. INVARIANT: whatever is not named here changes the world, and is refused where a part only reads."""

_REMOVES: Final = frozenset({"remove_file", "remove_dir", "remove_temporary"})
_PATHS: Final = frozenset({"path", "source", "destination"})


class FileQuestion:
    """One method of the port: the types of its arguments, in order, and whether it changes the world."""

    def __init__(self, name: str) -> None:
        self._name, self._method = name, getattr(Files, name)
        self._signature = inspect.signature(self._method)
        _, *takes = self._signature.parameters.values()
        hints = get_type_hints(self._method)
        self.types = tuple(hints[one.name] for one in takes)
        self._named = [one.name for one in takes if one.kind is one.KEYWORD_ONLY]
        self.changes = name not in _LOOKS
        self._paths = [place for place, one in enumerate(takes) if one.name in _PATHS]

    def touched(self, given: tuple[object, ...]) -> tuple[list[str], list[str]]:
        """The paths of which a change with these arguments makes, changes or removes anything, and where something will stand."""
        paths = [str(given[place]) for place in self._paths] if self.changes else []
        return paths, [] if self._name in _REMOVES else paths[-1:]

    def answered(self, files: Files, given: tuple[object, ...]) -> object:
        """What the method gives, of arguments in the order of `types`."""
        plain = len(given) - len(self._named)
        return getattr(files, self._name)(
            *given[:plain], **dict(zip(self._named, given[plain:], strict=True))
        )

    def asking(self) -> Callable[..., Any]:  # `Any`: as the method gives
        """The same method, which asks at the other end (`ask`). `TypeError` as from any function."""

        @wraps(self._method)
        def ask(files: Any, *args: object, **named: object) -> Any:
            bound = self._signature.bind(files, *args, **named)
            bound.apply_defaults()
            _, *given = bound.arguments.values()
            return files.ask(f"files.{self._name}", *given)

        return ask


FILE_QUESTIONS: Final[Mapping[str, FileQuestion]] = {
    f"files.{name}": FileQuestion(name)
    for name, method in vars(Files).items()
    if inspect.isfunction(method) and not name.startswith("_") and name not in _WRITTEN_OUT
}
