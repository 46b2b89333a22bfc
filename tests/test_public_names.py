"""The front of the package is light: a name is loaded when it is asked for, and not before."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

import assent

PROBE = """
import json, sys
before = set(sys.modules)
import {module}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_by(module: str, env: dict[str, str]) -> list[str]:
    """The modules that importing `module` adds to a fresh interpreter."""
    program = PROBE.format(module=module)
    answer = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    names: list[str] = json.loads(answer.stdout)
    return names


def test_importing_the_package_loads_nothing_but_the_standard_library(clean_env: dict[str, str]) -> None:
    added = loaded_by("assent", clean_env)
    assert "assent" in added
    ours = {"assent", "assent._lazy"}
    assert [n for n in added if n not in ours and n.split(".")[0] not in sys.stdlib_module_names] == []


def test_importing_the_law_loads_no_other_floor(clean_env: dict[str, str]) -> None:
    added = loaded_by("assent.spec", clean_env)
    floors = {name.split(".")[1] for name in added if name.startswith("assent.")}
    assert "spec" in floors
    assert floors <= {"spec", "errors", "_lazy"}, "the law is `spec` and `errors` alone"


@pytest.mark.parametrize("name", assent.__all__)
def test_every_public_name_resolves_and_is_listed(name: str) -> None:
    assert getattr(assent, name) is not None
    assert name in dir(assent)


def test_a_public_name_is_the_one_of_its_home() -> None:
    """Reached from the front or from its floor, it is the same object: `except` and `isinstance` agree."""
    assert assent.AssentError is importlib.import_module("assent.errors").AssentError


def test_a_name_that_was_asked_for_is_kept() -> None:
    """The next look-up finds it in the package itself."""
    asked = assent.Runtime
    assert vars(assent)["Runtime"] is asked


def test_an_unknown_name_is_refused_by_its_name() -> None:
    with pytest.raises(AttributeError, match="`missing`"):
        getattr(assent, "missing")  # noqa: B009 - a plain attribute would be refused by the type checker first
