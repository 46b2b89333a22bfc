"""What a plugin declares of itself is read strictly, and every fault has its place."""

from __future__ import annotations

import pytest

from assent.errors import InputError
from assent.plugins import Permissions, accepts, declared
from assent.plugins.source._declaration import plugin_name

PROJECT = b"""\
[project]
name = "Acme_Tickets"
version = "1.2.0"
description = "Tickets of Acme."
dependencies = ["httpx>=0.27"]

[project.entry-points."assent.plugins"]
tickets = "acme_tickets"

[tool.assent.plugin]
name = "tickets"
assent = ">=0.1, <1"
policy = ["allow `tickets.create` for support"]

[tool.assent.plugin.permissions]
network = ["api.acme.example", "*.acme.example:8443"]
process = ["git"]
files = ["/etc/hosts"]
secrets = ["acme_token"]
environment = ["ACME_URL"]
"""


def fault(files: dict[str, bytes]) -> InputError:
    with pytest.raises(InputError) as raised:
        declared(files, name="x")
    assert raised.value.code == "PLUGIN_DECLARATION_INVALID"
    return raised.value


def test_a_project_declares_in_its_own_file_and_repeats_nothing() -> None:
    found = declared({"pyproject.toml": PROJECT}, name="folder")
    assert (found.name, found.version, found.entry) == ("tickets", "1.2.0", "acme_tickets")
    assert (found.description, found.assent) == ("Tickets of Acme.", ">=0.1,<1")
    assert found.dependencies == ("httpx>=0.27",)
    assert found.policy == ("allow `tickets.create` for support",)
    assert found.file == "pyproject.toml"
    assert found.permissions == Permissions(
        network=("*.acme.example:8443", "api.acme.example"),
        process=("git",),
        files=("/etc/hosts",),
        secrets=("acme_token",),
        environment=("ACME_URL",),
    )


def test_a_source_that_declares_nothing_may_do_nothing() -> None:
    found = declared({"pyproject.toml": b'[project]\nname = "x"'}, name="folder")
    assert (found.name, found.file, found.permissions) == ("x", None, Permissions())
    assert declared({"notes.py": b"x = 1"}, name="My Notes!").name == "my-notes"


def test_a_package_declares_beside_its_code() -> None:
    found = declared({"notes/assent-plugin.toml": b'name = "notes"\nversion = "2"'}, name="x")
    assert (found.name, found.version, found.file) == ("notes", "2", "notes/assent-plugin.toml")


def test_a_wheel_says_the_rest_in_its_metadata() -> None:
    metadata = {
        "METADATA": b"Name: Notes\nVersion: 3.0\nSummary: Notes.\nRequires-Dist: b\nRequires-Dist: a\n\ntext",
        "entry_points.txt": b"[console_scripts]\nx = y\n[assent.plugins]\nnotes = notes:plugin\n",
    }
    found = declared({}, name="x", metadata=metadata)
    assert (found.name, found.version, found.description) == ("notes", "3.0", "Notes.")
    assert (found.dependencies, found.entry, found.file) == (("a", "b"), "notes:plugin", None)


def test_a_single_file_declares_in_its_inline_metadata() -> None:
    source = b"""\
#!/usr/bin/env python
# /// script
# dependencies = ["httpx"]
#
# [tool.assent.plugin]
# name = "notes"
# permissions.network = ["a.example"]
# ///
"""
    found = declared({"notes.py": source}, name="x")
    assert (found.name, found.dependencies, found.permissions.network) == (
        "notes",
        ("httpx",),
        ("a.example",),
    )
    broken = source.replace(b"notes", b"NOTES")
    assert fault({"notes.py": broken}).path == "notes.py:6:1"
    assert declared({"notes.py": b"# /// script\nx = 1"}, name="x").file is None


def test_two_declarations_are_one_too_many() -> None:
    files = {"pyproject.toml": PROJECT, "acme_tickets/assent-plugin.toml": b""}
    assert "declared twice" in fault(files).message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('nmae = "x"', "has no key `nmae`"),
        ('name = "X y"', "must be a plugin's name"),
        ("name = 5", "must be text"),
        ('version = "one"', "must be a version"),
        ('assent = "~=1"', "must be a range"),
        ('entry = "a-b"', "must be a module"),
        ('policy = "x"', "must be a list"),
        ("policy = [1]", "entry 0 that must be text"),
        ("permissions = 1", "must be a table"),
        ('permissions.network = ["ftp://x"]', "must be a host"),
        ('permissions.network = ["https://x/path"]', "must be a host"),
        ('permissions.network = ["LINK x"]', "`LINK` is none"),
        ('permissions.network = ["x:99999"]', "must have a port"),
        ('permissions.network = ["[::1::]"]', "must have an IPv6 address"),
        ("permissions.network = true", "must be a list of the hosts"),
        ('permissions.network = "x.example"', "must be a list of the hosts"),
        ("permissions.network = 1", "must be a list of at most"),
        ("permissions.disk = []", "has no key `disk`"),
    ],
)
def test_each_fault_is_named_with_its_place(line: str, message: str) -> None:
    error = fault({"assent-plugin.toml": f"\n{line}".encode()})
    assert message in error.message
    assert error.path is not None
    assert error.path.startswith("assent-plugin.toml:2:")


def test_every_fault_is_told_at_once() -> None:
    error = fault({"assent-plugin.toml": b"name = 1\nversion = 2\nassent = 3"})
    assert len(error.details["faults"]) == 2  # type: ignore[arg-type]  # a list of objects


@pytest.mark.parametrize("data", [b"\xff", b"name =", b"x = " + b"[" * 5000])
def test_a_file_that_is_no_toml_has_its_place(data: bytes) -> None:
    path = fault({"assent-plugin.toml": data}).path
    assert path is not None
    assert path.startswith("assent-plugin.toml:1:")


def test_the_table_must_be_a_table() -> None:
    assert fault({"pyproject.toml": b"[tool.assent]\nplugin = 1"}).path == "pyproject.toml:2:1"


def test_metadata_of_another_shape_says_nothing() -> None:
    found = declared({"pyproject.toml": b"project = 1"}, name="x")
    assert (found.name, found.version) == ("x", None)
    odd = b'[project]\nname = 1\ndependencies = [1, "a"]\nentry-points."assent.plugins" = {a = "b", c = "d"}'
    found = declared({"pyproject.toml": odd}, name="x")
    assert (found.name, found.dependencies, found.entry) == ("x", ("a",), "")


@pytest.mark.parametrize(
    ("versions", "version", "fits"),
    [
        (None, "0.1.0", True),
        (">=0.1,<1", "0.1.0", True),
        (">=0.1,<1", "1.0", False),
        (">0.1", "0.1.0", False),
        ("<=0.1.0", "0.1.0-rc1", True),
        ("==0.1", "0.1.0", True),
        ("!=0.1", "0.1.0+local", False),
    ],
)
def test_a_range_holds_the_versions_it_names(versions: str | None, version: str, *, fits: bool) -> None:
    assert accepts(versions, version) is fits


@pytest.mark.parametrize("text", ["Ünïcode", "9lives", "---", "a" * 100, "a..b"])
def test_any_name_becomes_one_that_a_plugin_may_have(text: str) -> None:
    name = plugin_name(text)
    assert plugin_name(name) == name
    assert len(name) <= 64
