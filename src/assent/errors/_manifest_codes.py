"""The codes of reading a plugin without running it: faults of the source, and warnings about what the code does."""

from __future__ import annotations

from typing import Final

from assent.errors._explanation import Explanation

MANIFEST_CODES: Final[dict[str, Explanation]] = {
    "MANIFEST_INVALID": Explanation(
        "A document that should be a plugin's manifest does not have its shape.",
        "Have it written anew with `assent plugin inspect PATH --json`.",
    ),
    "PLUGIN_DECLARATION_INVALID": Explanation(
        "What a plugin says of itself (`[tool.assent.plugin]`, `assent-plugin.toml`) can't be used; all faults are listed.",
        "Mend the key that the path names.",
    ),
    "PLUGIN_SOURCE_INVALID": Explanation(
        "A Python file of a plugin can't be read: its syntax is wrong, it is not UTF-8, or it is too large or nested too deeply.",
        "Mend the place that the path names; all files that can't be read are listed.",
    ),
}
