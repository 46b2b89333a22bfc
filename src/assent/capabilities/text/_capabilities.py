"""The text capabilities, described. They take text and give text; files are read and written by `io.fs.*` beside them."""

from __future__ import annotations

from functools import partial
from typing import Final

from assent.capabilities.describing import reads
from assent.capabilities.text._extract import extract, replace
from assent.capabilities.text._template import render

_computes = partial(reads, justification="computes, and touches nothing", timeout=60)

READ_IN_PLANS: Final = True
"""See `is_read_in_plans`."""

CAPABILITIES: Final = (
    _computes(
        "text.replace", "Replace the matches of a regular expression in a text, in linear time", replace
    ),
    _computes(
        "text.extract",
        "Find the matches of a regular expression in a text, with their places and groups",
        extract,
    ),
    _computes(
        "text.template",
        "Fill a template, written in a subset of Jinja, with data",
        render,
        justification="computes, and touches nothing; a template can call nothing and ends by itself",
    ),
)
