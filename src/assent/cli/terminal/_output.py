"""What goes out: the answer to stdout, everything else to stderr, and a reader who left is no failure."""

from __future__ import annotations

import codecs
import json
import os
import select
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TextIO, TypeVar

from assent.cli.terminal._style import Paint, wants_colour
from assent.errors import WorldError
from assent.spec.words.legible import safe

T = TypeVar("T")

COLUMNS_MIN: Final = 40
"""What a terminal that says less, or nothing (0), is taken to have."""

PIPE_COLUMNS: Final = 200


class Output:
    """The two streams of one command. `is_json`: the answer is for a program."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.is_json = False
        self.is_closed = False
        """Nobody reads stdout any more (`assent audit log | head`): streams stop early."""
        self._colour = "auto"
        self._environ = environ
        for stream in (sys.stdout, sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:  # A captured stream of a test has none.
                reconfigure(errors="backslashreplace")

    def set_colour(self, choice: str) -> None:
        """`auto`, `always` or `never`."""
        self._colour = choice

    def paint(self, *, stderr: bool = False) -> Paint:
        """How to put words in colour on a stream, and how wide it is."""
        stream = sys.stderr if stderr else sys.stdout
        is_terminal = is_a_terminal(stream)
        enabled = wants_colour(self._colour, self._environ, is_terminal=is_terminal)
        return Paint(enabled=enabled, columns=self._columns(stream, is_terminal=is_terminal))

    def _columns(self, stream: TextIO, *, is_terminal: bool) -> int | None:
        """What `COLUMNS` says, in pipes too; else the terminal's own; a pipe has no edge to meet."""
        said = self._environ.get("COLUMNS", "")
        if said.isdecimal() and int(said):
            return max(COLUMNS_MIN, int(said))
        if not is_terminal:
            return None
        try:
            return max(COLUMNS_MIN, os.get_terminal_size(stream.fileno()).columns)
        except OSError:
            return None

    @property
    def width(self) -> int:
        """Columns for what is laid out to a width."""
        return self.paint().columns or PIPE_COLUMNS

    def answer(self, text: str) -> None:
        """A line of the answer for people."""
        if self.is_closed:
            return
        try:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
        except BrokenPipeError:
            self._close()
        except OSError as error:
            raise self._lost(error) from error

    def data(self, chunks: Iterable[bytes]) -> None:
        """Bytes as they are: the answer for a file or another program. Escapes reach a terminal harmless."""
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        is_shown = is_a_terminal(sys.stdout)
        try:
            for chunk in chunks:
                if is_shown:
                    sys.stdout.write(safe(decode(chunk)))
                else:
                    sys.stdout.buffer.write(chunk)
            sys.stdout.flush()
        except BrokenPipeError:
            self._close()
        except OSError as error:
            raise self._lost(error) from error

    def tell(self, value: object, text: Callable[[], str]) -> None:
        """One answer: `value` for programs, `text` for people."""
        if self.is_json:
            self.object(value)
        else:
            self.answer(text())

    def object(self, value: object) -> None:
        """The answer for programs, of the service or plain data: one compact line of JSON, in ASCII, which nothing can drive."""
        self.answer(json.dumps(value, separators=(",", ":"), default=_plain))

    def listing(
        self,
        found: Sequence[T],
        row: Callable[[T, Paint], list[str]],
        *,
        head: Sequence[str] = (),
        none: str,
    ) -> None:
        """Everything of one kind: a table with a row for each, `none` as a note where there is nothing, or all for programs."""
        if self.is_json:
            self.object(found)
        elif not found:
            self.note(none)
        else:
            from assent.cli.terminal._table import table  # most commands show none

            paint = self.paint()
            self.answer(table([row(one, paint) for one in found], head=head, paint=paint))

    def note(self, text: str) -> None:
        """A line of everything that is not the answer."""
        try:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
        except OSError:
            # Nobody listens, or it can't be kept: the command still does its work and its exit code tells how it went.
            return

    def aside(self, text: str) -> None:
        """A note that nobody must wait for: left out while stderr takes none, as a stopped terminal does, or a full pipe."""
        if _takes(sys.stderr):
            self.note(text)

    def _lost(self, error: OSError) -> WorldError:
        """The answer can't be written, as on a full disk. Nothing more is tried, so that this is told once, on stderr."""
        self._close()
        reason = os.strerror(error.errno or 0).lower()
        hint = "what the command did stands: `assent runs` shows it"
        return WorldError("ANSWER_LOST", f"the answer can't be written: {reason}", hint=hint)

    def _close(self) -> None:
        self.is_closed = True
        # The interpreter flushes stdout once more at exit and would complain about the same pipe.
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, sys.stdout.fileno())
        except OSError:
            return
        finally:
            os.close(null)


def _plain(answer: object) -> object:
    from msgspec import to_builtins  # a command that asks for no answer does without it

    return to_builtins(answer)


def _takes(stream: TextIO) -> bool:
    """Whether a line that is shorter than a page can be written without waiting."""
    try:
        return bool(select.select([], [stream], [], 0)[1])
    except ValueError:  # It has no descriptor, like a captured stream of a test, or it was closed.
        return True


def is_a_terminal(stream: TextIO) -> bool:
    """A person is at the other end."""
    try:
        return stream.isatty()
    except ValueError:  # It was closed.
        return False
