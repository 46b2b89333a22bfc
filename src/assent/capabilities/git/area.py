"""`[git]` of assent.toml: who commits where a call does not say it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from assent.spec.documents.settings import Matching, Setting, Table, fields
from assent.spec.values.json_fields import Object, compact, mapping, number, text
from assent.spec.words.sizes import count_text

if TYPE_CHECKING:
    from assent.capabilities.area import Check, Ground, Words
    from assent.capabilities.git import GitHome
    from assent.invocation import GlobalContext

_CHARACTERS_MAX: Final = 200


def _text(pattern: str, what: str) -> Matching:
    form = f"must be {what}, without `<` and `>`, of at most {_CHARACTERS_MAX} characters"
    matches = re.compile(pattern).fullmatch
    return Matching(form, lambda text: len(text) <= _CHARACTERS_MAX and matches(text))


SECTION: Final[Table] = {
    "name": Setting(
        _text(r"[^<>\n\0]*[^<>\s\0][^<>\n\0]*", "a name on one line"),
        "who commits where a call does not say it",
        unless="the principal's name",
        is_always_shown=True,
    ),
    "email": Setting(
        _text(r"[^<>\s\0]+", "an address without blanks"),
        "the same",
        unless="an address made of the principal",
        is_always_shown=True,
    ),
}


def _committed(output: Object) -> str:
    files = count_text(number(output, "files_changed") or 0, "file")
    added, removed = number(output, "insertions") or 0, number(output, "deletions") or 0
    return f"{_id(output)} on {text(output, 'branch', 'no branch')}: {files}, +{added} -{removed}"


def _standing(output: Object) -> str:
    counts = [
        f"{compact(amount)} {name}"
        for name, amount in mapping(output, "counts").items()
        if amount and name != "ignored"
    ]
    return f"on {text(output, 'branch', 'no branch')}: {', '.join(counts) or 'clean'}"


def _id(output: Object) -> str:
    return text(output, "commit")[:12]


WORDS: Final[Words] = {
    frozenset({"commit", "files_changed"}): _committed,
    frozenset({"name", "commit", "annotated"}): lambda found: f"{text(found, 'name')} at {_id(found)}",
    frozenset({"action", "name", "commit"}): lambda found: (
        f"{text(found, 'action')} {text(found, 'name')} at {_id(found)}"
    ),
    frozenset({"branch", "head", "counts"}): _standing,
}
PROJECTION: Final = None


def offer(app: GlobalContext, ground: Ground) -> None:
    """Where repositories are, and who commits."""

    def home() -> GitHome:
        from assent.capabilities.git import GitHome

        return GitHome(ground.workspace, **fields(ground.said, SECTION))

    app.offer("assent.capabilities.git._home.GitHome", home)


def checks(ground: Ground) -> Iterator[Check]:
    """Who commits where a call does not say it."""
    from assent.capabilities.area import Check

    here = "a repository" if (ground.workspace / ".git").exists() else "no repository here"
    name, email = ground.said["name"], ground.said["email"]
    yield Check(
        "git", "ok", f"{here}; commits are by {name or 'the principal'}" + (f" <{email}>" if email else "")
    )
