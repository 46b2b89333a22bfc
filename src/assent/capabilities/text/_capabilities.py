"""The text capabilities, described. They take text and give text; files are read and written by `io.fs.*` beside them."""

from __future__ import annotations

from assent.capabilities.text import _extract, _template
from assent.capabilities.text._parameters import Extract, Replace, Template
from assent.capabilities.text._results import Extracted, Rendered, Replaced
from assent.invocation import LocalContext, Preview, capability


def no_change(context: LocalContext, parameters: object) -> Preview:
    """The preview of a capability that only computes."""
    del context, parameters
    return Preview("none", changes=False)


@capability(
    "text.replace",
    operation="READ",
    risk="LOW",
    justification="computes, and touches nothing",
    timeout=60,
    revision="text.replace/1",
)
def replace(context: LocalContext, parameters: Replace) -> Replaced:
    """Replace the matches of a regular expression in a text, in linear time"""
    return _extract.replace(context, parameters)


replace.preview(no_change)


@capability(
    "text.extract",
    operation="READ",
    risk="LOW",
    justification="computes, and touches nothing",
    timeout=60,
    revision="text.extract/1",
)
def extract(context: LocalContext, parameters: Extract) -> Extracted:
    """Find the matches of a regular expression in a text, with their places and groups"""
    return _extract.extract(context, parameters)


extract.preview(no_change)


@capability(
    "text.template",
    operation="READ",
    risk="LOW",
    justification="computes, and touches nothing; a template can call nothing and ends by itself",
    timeout=60,
    revision="text.template/1",
)
def template(context: LocalContext, parameters: Template) -> Rendered:
    """Fill a template, written in a subset of Jinja, with data"""
    return _template.render(context, parameters)


template.preview(no_change)
