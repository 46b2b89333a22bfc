"""Each setting that `assent.toml` may hold is documented, in its table and in its own words, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from assent.capabilities.net import NetLimits
from assent.capabilities.net.area import SECTION as NET
from assent.capabilities.notify import Endpoint
from assent.runtime.settings._configuration import LIMITS, PROJECT_SCHEMA, USER_SCHEMA
from assent.runtime.settings._sandbox import SANDBOX
from assent.runtime.settings.effective import Limits
from assent.sandbox import SandboxLimits
from assent.spec.documents.settings import Duration, Named, Setting, Table, fields
from assent.spec.words.sizes import size_text
from tests.docs.pages import ROOT

_ALIKE = {"identity.agents.NAME", "identity.services.NAME"}
"""Tables that the page names beside another one with the same keys."""


def tables(schema: Table, above: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, Setting]]]:
    yield (
        ".".join(above),
        {name: one for name, one in schema.items() if isinstance(one, Setting) and name != "app"},
    )
    for name, known in schema.items():
        if isinstance(known, Named):
            yield from tables(known.table, (*above, name, "NAME"))
            for reserved, table in known.reserved.items():
                yield from tables(table, (*above, name, reserved))
        elif isinstance(known, Mapping):
            yield from tables(known, (*above, name))


def row(name: str, setting: Setting) -> str:
    """The line of the page about a setting."""
    means = f"{setting.means} (required)" if setting.is_required else setting.means
    end = f" {unless(name, setting)} " if not setting.is_required else " "
    return f"| `{name}` | {means} |{end}|"


def unless(name: str, setting: Setting) -> str:
    """What holds where nothing is said, in words."""
    match setting.default:
        case _ if setting.unless:
            return setting.unless
        case None:
            return "none"
        case bool():
            return "`true`" if setting.default else "`false`"
        case int() if isinstance(setting.read, Duration):
            units = ((86_400_000, "days"), (3_600_000, "h"), (1000, "s"))
            return next(f"{setting.default // one} {unit}" for one, unit in units if setting.default >= one)
        case int() if name.endswith("_bytes"):
            return size_text(setting.default)
        case int():
            return f"{setting.default:,}".replace(",", " ")
        case list():
            return ", ".join(f"`{one}`" for one in setting.default)
        case _:
            raise AssertionError(f"say in words what `{name}` is unless it is said")


def documented() -> tuple[dict[str, list[str]], str]:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    head, *sections = re.split(r"^## `\[(.+)\]`$", text, flags=re.MULTILINE)
    parts = {"": head, **dict(zip(sections[::2], sections[1::2], strict=True))}
    return {name: re.findall(r"^\| `.+\|$", part, re.MULTILINE) for name, part in parts.items()}, text


def test_every_setting_stands_in_its_table_in_its_own_words() -> None:
    """The page is what the tables of settings say: their keys, what each means, and what holds where nothing is said."""
    found, text = documented()
    wanted = {
        name: [row(*one) for one in keys.items()]
        for name, keys in tables(PROJECT_SCHEMA)
        if keys or name == ""
    }
    assert {name: rows for name, rows in wanted.items() if name not in _ALIKE} == {
        name: found.get(name) for name in wanted if name not in _ALIKE
    }
    assert set(found) - set(wanted) == {"app"}
    assert all(f"`[{name}]`" in text and wanted[name] == wanted["identity.users.NAME"] for name in _ALIKE)


def test_what_the_user_may_configure_is_named() -> None:
    found = documented()[1].partition("may hold `policy`, ")[2].partition(";")[0]
    assert set(re.findall(r"`\[(\w+)\]`", found)) == set(USER_SCHEMA) - {"policy"}


def test_defaults_are_those_of_the_types_that_are_made_of_them() -> None:
    """A part that is made without a configuration is bounded like one whose configuration says nothing."""
    for kind, table in ((Limits(), LIMITS), (NetLimits(), NET)):
        said = {name: one.default for name, one in table.items() if isinstance(one, Setting)}
        for name, value in fields(said, table).items():
            assert getattr(kind, name) == value, name
    sandbox = SandboxLimits()
    for name, one in SANDBOX.items():
        assert isinstance(one, Setting)
        if name in ("cpu", "wall"):
            assert one.unless == f"{getattr(sandbox, f'{name}_s')} s"
        elif name.endswith("_bytes"):
            assert one.unless == size_text(getattr(sandbox, name))
        elif name not in ("unconfined", "backend"):
            assert one.unless.replace(" ", "") == str(getattr(sandbox, name))
    assert Endpoint("a", "https://a.example", "s").timeout_ms == 15_000
