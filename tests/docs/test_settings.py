"""Each setting that `assent.toml` may hold is documented, in its table, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from assent.runtime._configuration import PROJECT_SCHEMA, USER_SCHEMA, Named, Schema
from assent.runtime._info_settings import HARMLESS
from assent.runtime._notify_settings import GRACE_MS
from assent.runtime.settings import Limits
from assent.sandbox import SandboxLimits
from tests.docs.pages import ROOT

_ALIKE = {"identity.agents.NAME", "identity.services.NAME"}
"""Tables that the page names beside another one with the same keys."""


def tables(schema: Schema, above: tuple[str, ...] = ()) -> Iterator[tuple[str, set[str]]]:
    own = {name for name, known in schema.items() if callable(known)}
    yield ".".join(above), own - {"app"}
    for name, known in schema.items():
        if isinstance(known, Named):
            yield from tables(known.table, (*above, name, "NAME"))
            for reserved, table in known.reserved.items():
                yield from tables(table, (*above, name, reserved))
        elif isinstance(known, Mapping):
            yield from tables(known, (*above, name))


def documented() -> tuple[dict[str, set[str]], str]:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    head, *sections = re.split(r"^## `\[(.+)\]`$", text, flags=re.MULTILINE)
    parts = {"": head, **dict(zip(sections[::2], sections[1::2], strict=True))}
    return {
        name: set(re.findall(r"^\| `([^`]+)` \|", part, re.MULTILINE)) for name, part in parts.items()
    }, text


def test_every_setting_stands_in_its_table() -> None:
    found, text = documented()
    wanted = {name: keys for name, keys in tables(PROJECT_SCHEMA) if keys or name == ""}
    assert {name: found.get(name) for name in wanted if name not in _ALIKE} == {
        name: keys for name, keys in wanted.items() if name not in _ALIKE
    }
    assert set(found) - set(wanted) == {"app"}
    assert all(f"`[{name}]`" in text and wanted[name] == wanted["identity.users.NAME"] for name in _ALIKE)


def test_what_the_user_may_configure_is_named() -> None:
    found = documented()[1].partition("may hold `policy`, ")[2].partition(";")[0]
    assert set(re.findall(r"`\[(\w+)\]`", found)) == set(USER_SCHEMA) - {"policy"}


def test_defaults_are_those_of_the_code() -> None:
    """Where the page gives a number."""
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| .* \| ([^|]+) \|$", documented()[1], re.MULTILINE))
    sandbox, limits = SandboxLimits(), Limits()
    units = {1 << 30: "GiB", 1 << 20: "MiB"}

    def size(value: int) -> str:
        unit = max(one for one in units if value % one == 0)
        return f"{value // unit} {units[unit]}"

    assert rows["cpu"] == f"{sandbox.cpu_s} s"
    assert rows["wall"] == f"{sandbox.wall_s} s"
    for name in ("memory_bytes", "file_bytes", "layer_bytes", "output_bytes"):
        assert rows[name] == size(getattr(sandbox, name)), name
    assert rows["layer_entries"] == f"{sandbox.layer_entries:,}".replace(",", " ")
    assert (rows["processes"], rows["open_files"]) == (str(sandbox.processes), str(sandbox.open_files))
    for name in ("payload_bytes", "max_pre_image_bytes"):
        assert rows[name] == size(getattr(limits, name)), name
    for name in ("concurrency", "version_calls_min", "version_degraded_percent", "version_failed_percent"):
        assert rows[name] == str(getattr(limits, name)), name
    assert rows["plan_expiry"] == f"{limits.plan_expiry_ms // 86_400_000} days"
    assert rows["env"] == ", ".join(f"`{one}`" for one in HARMLESS)
    assert GRACE_MS == 2000
