"""A later schema is a step in a table: documents go up and down through it, and nothing gets lost in silence."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from assent.errors import InputError
from assent.findings import read_finding
from assent.findings.migrations import Moved, Step, migrated
from assent.findings.parsing import read_older, write_older
from tests.findings.test_finding import LEAST
from tests.findings.test_finding import WHOLE as WITH_PLACES

KEY = "finding_schema_version"
WHOLE = {**WITH_PLACES, "confidence": 90}


def renames(older: str, newer: str, was: str, now: str, *, adds: str = "") -> Step:
    """An invented step: a property has another name, and the newer version may have one more."""

    def moved(document: dict[str, Any], said: str, one: str, other: str, lost: tuple[str, ...]) -> Moved:
        left = tuple(name for name in lost if name in document)
        made = {other if name == one else name: value for name, value in document.items() if name not in left}
        return Moved({**made, KEY: said}, left)

    return Step(
        older,
        newer,
        lambda one: moved(one, newer, was, now, ()),
        lambda one: moved(one, older, now, was, (adds,) if adds else ()),
    )


LATER = (
    renames("1.0.0", "1.1.0", "resource", "asset", adds="owner"),
    renames("1.1.0", "2.0.0", "title", "headline", adds="impact"),
)
EARLIER = (renames("0.8.0", "0.9.0", "name", "label"), renames("0.9.0", "1.0.0", "label", "title"))


def test_a_document_goes_up_and_down_all_steps() -> None:
    given = copy.deepcopy(WHOLE)
    up = migrated(given, "2.0.0", LATER, key=KEY)
    assert given == WHOLE
    assert (up.document[KEY], up.document["asset"], up.document["headline"]) == (
        "2.0.0",
        WHOLE["resource"],
        WHOLE["title"],
    )
    assert migrated(up.document, "1.0.0", LATER, key=KEY) == (WHOLE, ())
    assert migrated(WHOLE, "1.0.0", LATER, key=KEY) == (WHOLE, ())


def test_what_gets_lost_on_any_step_is_told() -> None:
    up = migrated(WHOLE, "2.0.0", LATER, key=KEY).document
    assert migrated({**up, "owner": "a", "impact": 3}, "1.0.0", LATER, key=KEY) == (
        WHOLE,
        ("impact", "owner"),
    )


def test_a_version_that_the_table_does_not_have_is_left_to_the_reader() -> None:
    odd = {**WHOLE, KEY: "7.0.0"}
    assert migrated(odd, "2.0.0", LATER, key=KEY) == (odd, ())


def test_a_finding_that_names_an_older_version_is_read() -> None:
    for version, name in (("0.8.0", "name"), ("0.9.0", "label")):
        older = {name if key == "title" else key: value for key, value in WHOLE.items()} | {KEY: version}
        assert read_finding(older, EARLIER) == read_finding(WHOLE)
        with pytest.raises(InputError) as refused:
            read_finding(older)
        assert refused.value.code == "FINDING_INVALID"


def test_a_finding_that_would_lose_something_is_refused() -> None:
    loses = Step(
        "0.9.0", "1.0.0", lambda one: Moved({**one, KEY: "1.0.0"}, ("owner",)), lambda one: Moved(one, ())
    )
    with pytest.raises(InputError, match="`owner`") as refused:
        read_finding({**LEAST, KEY: "0.9.0"}, (loses,))
    assert refused.value.code == "FINDING_INVALID"


def test_the_shape_that_names_no_version_is_read_where_losses_are_told() -> None:
    older = write_older(read_finding(LEAST)).document
    assert KEY not in older
    assert read_older(older) == (read_finding(LEAST), ())
    with pytest.raises(InputError):
        read_finding(older)
