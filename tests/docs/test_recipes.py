"""The workflows that `assent scan` runs are the ones that the example shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from assent.capabilities.scan import recipes


@pytest.mark.parametrize("name", recipes())
def test_the_example_has_the_recipe_as_it_is_run(repository: Path, name: str) -> None:
    ours = recipes()[name]
    assert (repository / "examples" / "scans" / f"{name}.yaml").read_text("utf-8") == ours
