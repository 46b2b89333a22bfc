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
    "DIFF_DELETES": Explanation(
        "A unified diff deletes files, and the call says that it may not.",
        "Leave the deletions out of the diff, or pass `deletions: true`, which a policy may want a person to approve.",
    ),
    "IGNORE_FILE_INVALID": Explanation(
        "A `.gitignore` file can't be read, has too many rules, or a rule that is none.",
        "Mend the line that the path names, or pass `gitignore: false`.",
    ),
    "OUTPUT_TOO_LARGE": Explanation(
        "The answer of a call would be larger than an answer may be; nothing was changed.",
        "Ask for less at once, or work on a smaller part.",
    ),
    "TEMPLATE_INVALID": Explanation(
        "A template is not written in the subset of Jinja that is carried out: there are values, `if`, `for`, `set`, `with`, "
        "filters and tests, and nothing to call, import or include.",
        "Mend the line that the path names; prepare data before it is handed in.",
    ),
    "TEMPLATE_UNDEFINED": Explanation(
        "A template uses a name, a key or a place that is not there.",
        "Give it a value, or say what stands for it: `{{ name | default('…') }}`.",
    ),
    "TEMPLATE_FAILED": Explanation(
        "A template could not be filled: a value is of another kind than is needed, or it takes too many steps or characters.",
        "Mend the line that the path names, or hand in less data.",
    ),
    "DATA_INVALID": Explanation(
        "A text is not what its format asks for, or data holds what the format has no word for; nothing is guessed or repaired.",
        "Mend the place that the path names.",
    ),
    "DATA_TOO_LARGE": Explanation(
        "Data has more values, characters or levels than one call works on.",
        "Work on a part of it.",
    ),
    "QUERY_INVALID": Explanation(
        "A query is no JMESPath expression, or is nested too deeply.",
        "Mend it at the column that the path names.",
    ),
    "QUERY_FAILED": Explanation(
        "A query met data of another kind than it needs, or takes or makes more than a query may.",
        "Compare what it expects with the data, or ask for less at once.",
    ),
    "ENV_NOT_ALLOWED": Explanation(
        "A call asked for an environment variable that may not be told; none was.",
        'Allow it by name in assent.toml: `[info] env = ["…"]`. One whose name says that it holds a secret is never told.',
    ),
    "ZONE_UNKNOWN": Explanation(
        "A text is the name of no time zone that this machine knows.",
        "Use a name of the IANA database, such as `Europe/Vienna`, or `UTC`.",
    ),
}
