"""Writes `docs/errors.md` from the explanations of error codes, so that the page cannot say anything else.

    python -m tools.write_errors [--check]

`--check` writes nothing and ends with 1 when the page is not what it would write.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from assent.errors.explanations import Explanation, explanations

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"

HEAD = """\
# Error codes

<!-- Written by `python -m tools.write_errors` from `src/assent/errors/codes/` and each area's `errors.toml`. Change it there. -->

An error is one object everywhere: `{"error": {"code", "message", "path", "hint", "details"}}`. The code is stable, and people
script against it; message and hint are for reading and may be improved. `path` says where (`FILE:LINE:COLUMN` for files), and
`assent explain CODE` prints what stands here. Which exit code an error leads to is in
[the command line](cli.md#exit-codes).

Every code belongs to one of four families. *Input*: mend the input, the file or the command. *Refused*: policy or a person
said no. *World*: a disk, a file or another process failed, and trying again may help. *Internal*: a fault of Assent; please
report it.
"""


def page(explained: Mapping[str, Explanation]) -> str:
    """The page: a section per code, by name."""
    sections = [
        f"## {code}\n\n{entry.meaning}\n\n*What to do:* {entry.remedy}\n" for code, entry in explained.items()
    ]
    return "\n".join([HEAD, *sections])


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    wanted = page(explanations())
    if arguments == ["--check"]:
        same = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == wanted
        print(
            "docs/errors.md is up to date." if same else "docs/errors.md is old: python -m tools.write_errors"
        )
        return 0 if same else 1
    PAGE.write_text(wanted, encoding="utf-8")
    print(f"wrote {len(explanations())} codes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
