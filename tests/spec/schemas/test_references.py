"""What a `$ref` names within its own document, by whatever part of the house it is asked."""

from __future__ import annotations

import pytest

from assent.errors import Json
from assent.spec.schemas.references import referred

DOCUMENT: dict[str, Json] = {"$defs": {"a/b": 1, "c~d": 2, "é %": 3, "list": [4, {"x": 5}], "nothing": None}}


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("#", DOCUMENT),
        ("#/$defs/a~1b", 1),
        ("#/$defs/c~0d", 2),
        ("#/%24defs/%C3%A9%20%25", 3),
        ("#/$defs/list/1/x", 5),
    ],
)
def test_a_pointer_leads_to_what_it_names(reference: str, found: object) -> None:
    assert referred(DOCUMENT, reference) == found


@pytest.mark.parametrize(
    "reference",
    [
        None,
        1,
        "",
        "other.json#/$defs",
        "#name",
        "#/$defs/list/2",
        "#/$defs/list/-1",
        "#/$defs/list/x",
        "#/$defs/a/b",
    ],
)
def test_what_leads_nowhere_names_nothing(reference: object) -> None:
    assert referred(DOCUMENT, reference) is None
