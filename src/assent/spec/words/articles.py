"""A noun with its article, for messages that name what was expected."""

from __future__ import annotations


def with_article(what: str) -> str:
    """`a role`, `an operation type`; by the first letter, which is enough for the words that we use."""
    return f"{'an' if what[:1].lower() in tuple('aeio') else 'a'} {what}"
