"""`[info]` of assent.toml: which environment variables may be told."""

from __future__ import annotations

import re
from typing import Final

from assent.errors import Json
from assent.spec.masking import names_secret

HARMLESS: Final = ("CI", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_TIME", "TERM", "TZ")
"""The variables that may be told where nothing is said."""

_PATTERN: Final = re.compile(r"[A-Za-z_*][A-Za-z0-9_*]{0,254}")


def read_env(value: object) -> Json:
    """Check `env`; ValueError with the rest of the sentence."""
    if not isinstance(value, list) or not all(
        isinstance(one, str) and _PATTERN.fullmatch(one) for one in value
    ):
        raise ValueError(
            'must be a list of names of environment variables, with `*` for any characters: `["BUILD_*"]`'
        )
    secret = next((one for one in value if names_secret(one)), None)
    if secret is not None:
        raise ValueError(f"can't allow `{secret}`: its name says that it holds a secret")
    return list(dict.fromkeys(value))
