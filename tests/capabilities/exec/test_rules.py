"""Which programs may be run, by whom and with what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assent.capabilities.exec import ProgramRule
from assent.capabilities.exec._rules import Permit, permit
from assent.invocation import NoEffectError

RULES = (
    ProgramRule(
        name="builds",
        programs=("sh", "./scripts/build", "/opt/tool"),
        principals=("agent:*",),
        environment=("VERSION", "CI_*"),
        inherit=("TZ", "ABSENT"),
        set={"SOURCE_DATE_EPOCH": "0"},
    ),
    ProgramRule(
        name="people", programs=("sh", "no-such-program-here"), principals=("user:ada",), network=True
    ),
)


def allowed(*argv: str, principal: str = "agent:bot", **environment: str) -> Permit:
    return permit(
        RULES,
        argv,
        environment,
        principal=principal,
        workspace=Path("/ws"),
        own={"TZ": "UTC", "AWS_SECRET": "no", "PATH": "/evil"},
    )


def refusal(*argv: str, **given: Any) -> NoEffectError:
    with pytest.raises(NoEffectError) as refused:
        allowed(*argv, **given)
    return refused.value


def test_the_first_rule_that_fits_both_says_what_a_program_gets() -> None:
    assert allowed("sh").rule.name == "builds"
    assert allowed("sh", principal="user:ada").rule.network


def test_an_environment_is_what_is_named_and_nothing_else() -> None:
    found = allowed("sh", VERSION="1", CI_JOB="2").environment
    assert dict(found) == {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": "0",
        "VERSION": "1",
        "CI_JOB": "2",
    }


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PATH", "PYTHONPATH", "BASH_ENV", "TZ", "version"])
def test_a_variable_that_no_rule_lets_callers_set_is_refused(name: str) -> None:
    error = refusal("sh", VERSION="1", **{name: "x"})
    assert (error.code, error.path) == ("ENVIRONMENT_NOT_ALLOWED", f"environment.{name}")


def test_a_program_is_where_its_rule_says(tmp_path: Path) -> None:
    tool, build = tmp_path / "tool", tmp_path / "scripts" / "build"
    build.parent.mkdir()
    rule = ProgramRule(name="x", programs=(str(tool), "./scripts/build"))
    for program, path in ((str(tool), tool), ("./scripts/build", build)):
        with pytest.raises(NoEffectError) as refused:
            permit([rule], [program], {}, principal="user:x", workspace=tmp_path, own={})
        assert (refused.value.code, refused.value.message) == (
            "PROGRAM_MISSING",
            f"there is no program `{program}`",
        )
        path.touch(mode=0o755)
        assert permit([rule], [program], {}, principal="user:x", workspace=tmp_path, own={}).program == str(
            path
        )


def test_a_bare_name_is_looked_for_in_the_systems_folders_only() -> None:
    assert allowed("sh").program in {"/usr/bin/sh", "/bin/sh", "/usr/local/bin/sh"}
    assert refusal("no-such-program-here", principal="user:ada").code == "PROGRAM_MISSING"


@pytest.mark.parametrize(
    "program",
    [
        "bash",
        "/bin/sh",
        "./sh",
        "sh ",
        "SH",
        "",
        "../sh",
        "./scripts/../scripts/build",
        "scripts/build",
        "sh\n",
    ],
)
def test_another_spelling_is_another_program(program: str) -> None:
    error = refusal(program)
    assert error.code == "PROGRAM_NOT_ALLOWED"
    assert "[exec.rules.NAME]" in str(error.hint)


def test_a_program_of_others_says_whose_rule_it_is() -> None:
    error = refusal("sh", principal="service:x")
    assert "`[exec.rules.builds]` allows it for others" in str(error.hint)
