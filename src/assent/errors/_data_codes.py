"""Codes of the capabilities on data and text, and of patches and searches of files."""

from __future__ import annotations

from typing import Final

from assent.errors._explanation import Explanation

DATA_CODES: Final[dict[str, Explanation]] = {
    "PATTERN_INVALID": Explanation(
        "A pattern can't be read, or needs what does not exist here: look-around, back-references, very large counts.",
        "Mend it as the hint says. Regular expressions are RE2's, globs are written as in `.gitignore`.",
    ),
    "DIFF_INVALID": Explanation(
        "A text is no unified diff, or holds what is not applied: binary changes, links, submodules, copies.",
        "Mend the line that the path names; nothing was changed.",
    ),
    "DIFF_CONFLICT": Explanation(
        "A unified diff does not fit the files: lines that it expects are not there, or stand in several places.",
        "Make the diff again from the files as they are now; every hunk that does not fit is in `details`.",
    ),
    "IGNORE_FILE_INVALID": Explanation(
        "A `.gitignore` file can't be read, has too many rules, or a rule that is none.",
        "Mend the line that the path names, or pass `gitignore: false`.",
    ),
}
