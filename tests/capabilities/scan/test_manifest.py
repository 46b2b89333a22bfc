"""Scanners are data: what a manifest may say, and that each of ours says what can be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from assent.capabilities.scan._manifest import read_tool
from assent.capabilities.scan._scanners import BUILT_IN
from assent.errors import InputError
from assent.findings.parsing import built_in_tools
from tests.capabilities.scan.conftest import PROBE

OURS = sorted(BUILT_IN.glob("*.toml"))
PLAIN = PROBE.format(kind="active", time="60s")


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.stem)
def test_each_of_ours_can_be_read_and_names_a_parser_that_there_is(file: Path) -> None:
    tool = read_tool(file.read_bytes(), file.name)
    assert (tool.tool, tool.output.parser in built_in_tools()) == (file.stem, True)
    assert not tool.sha256, "its file differs from system to system"
    assert all(
        re.search(tool.version.pattern, other) is None
        for other in ("", "Usage: httpx [OPTIONS] URL", "command not found")
    )


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.stem)
def test_none_of_ours_gives_a_program_a_value_that_it_may_take_for_an_option(file: Path) -> None:
    """Whatever begins a word is written in the manifest, or held not to begin with `-`."""
    tool = read_tool(file.read_bytes(), file.name)
    for option in tool.options.values():
        if option.type == "text":
            assert not re.fullmatch(option.pattern, "-x")
        if option.type == "number":
            assert option.least >= 0


@pytest.mark.parametrize(
    ("was", "now", "place", "says"),
    [
        ('kind = "active"', 'kind = "busy"', "kind", "must be 'active', 'passive' or 'static'"),
        ('target = "url"', 'target = "url"\ntagret = "x"', "tagret", "is not a parameter"),
        ('target = "url"', 'target = "path"', "target", "can't be `path`"),
        ('"{more}"', '"{moer}"', "args[1]", "names `{moer}`"),
        ('"{more}"', '"{more"', "args[1]", "can't be read"),
        ('["{target}", ', "[", "args", "must name the target"),
        ('parser = "nuclei"', 'parser = "nuclei"\nto = "file"', "args", "must name `{output}`"),
        ("(?P<version>[0-9.]+)", "([0-9.]+)", "version.pattern", "must have the group"),
        ("(?P<version>[0-9.]+)", "(?P<version>", "version.pattern", "must be a regular expression"),
        ('type = "flag"', 'type = "choice"', "options.noisy.choices", "must be there for a choice"),
        ('time = "60s"', 'time = "soon"', "limits.time", "must be a duration"),
        ("success = [0, 7]", "success = [0, 700]", "success[1]", "at most 255"),
        ('["--words", "{words}"]', '["--words"]', "options.words", "is named by no argument"),
        (
            "[version]",
            '[self_test]\ntarget = "a"\n[self_test.files]\na = "x"\n[version]',
            "self_test",
            "only a static",
        ),
        (
            "[limits]",
            "[environment]\nTOKEN = 'secret://-'\n[limits]",
            "environment.TOKEN",
            "must be followed by a secret's name",
        ),
        ("[version]", 'read_only = ["opt"]\n[version]', "read_only[0]", "must be an absolute path"),
    ],
)
def test_a_manifest_that_can_not_be_is_refused_at_its_place(
    was: str, now: str, place: str, says: str
) -> None:
    assert was in PLAIN
    with pytest.raises(InputError) as refused:
        read_tool(PLAIN.replace(was, now, 1).encode(), "probe.toml")
    error = refused.value
    assert error.code == "SCANNER_INVALID"
    assert "probe.toml" in error.message
    assert place in f"{error.path} {error.message} {error.details}"
    assert says in error.message
    assert error.path is not None
    line = int(error.path.split(":")[1])
    there = PLAIN.replace(was, now, 1).splitlines()[line - 1]
    assert any(name in there for name in re.findall("[A-Za-z_]+", place))


def test_a_file_that_is_no_toml_is_refused_with_its_line() -> None:
    with pytest.raises(InputError, match="this is not TOML") as refused:
        read_tool(b'tool = "probe"\ntitle = oops\n', "probe.toml")
    assert refused.value.path == "probe.toml:2:9"
