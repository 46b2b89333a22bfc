"""What every error code means and what to do: the source of `assent explain CODE` and of `docs/errors.md`.

The texts are data: one file for each subject in `codes/`, and `errors.toml` in the folder of each area of capabilities. A code is
added there in the same change that first raises it; a test holds the two together. Nothing that runs a call reads them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

_HOME: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one code means, in a sentence or two, and what its reader can do."""

    meaning: str
    remedy: str


@cache
def explanations() -> Mapping[str, Explanation]:
    """Every code with its explanation, by code. The files are read once."""
    found: dict[str, Explanation] = {}
    for file in (*_HOME.glob("codes/*.toml"), *_HOME.parent.glob("capabilities/*/errors.toml")):
        for code, entry in tomllib.loads(file.read_text(encoding="utf-8")).items():
            assert code not in found, f"`{code}` is explained in two files; one is {file}"
            found[code] = Explanation(entry["meaning"], entry["remedy"])
    return MappingProxyType(dict(sorted(found.items())))
