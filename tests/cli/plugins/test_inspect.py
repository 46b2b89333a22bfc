"""`assent plugin inspect` tells what a plugin is before any of it runs."""

from __future__ import annotations

import jsonschema_rs
import pytest

from assent.plugins import manifest_schema
from tests.support.door import Terminal

SOURCE = '''
# /// script
# dependencies = ["httpx"]
# [tool.assent.plugin]
# name = "shop"
# version = "1.2.0"
# assent = ">=0.1"
# policy = ["allow `shop.order` for clerks"]
# description = "Orders."
# permissions.network = ["shop.example"]
# ///
"""Orders."""
import httpx, os
from assent import capability

raise_it = 1 / 1

@capability("shop.order", operation="WRITE", risk="HIGH", compensation="cancel")
def order(context, item: str, count: int = 1) -> None:
    """Order an item."""
    httpx.post("https://shop.example/orders")
    getattr(os, "sys" + "tem")("ls")
    context.secret("token")
    context.app.get(Stock)

@order.compensate
def cancel(context): ...

@order.before
def guard(call): ...

@capability("shop.get", operation="READ", risk="LOW")
def get() -> str: ...

@capability("shop.unknown", operation=pick(), risk="CRITICAL")
def unknown() -> str: ...
'''


@pytest.fixture
def plugin(terminal: Terminal) -> str:
    (terminal.folder / "shop.py").write_text(SOURCE)
    return "shop.py"


def test_warnings_come_first_and_everything_has_its_place(terminal: Terminal, plugin: str) -> None:
    answer = terminal("plugin", "inspect", plugin)
    assert answer.code == 0
    out = answer.out
    for text in (
        "shop 1.2.0",
        "PLUGIN_CALL_HIDDEN",
        "`os.system` (`ls`)",
        "shop.py:21",
        "PLUGIN_SECRET_UNDECLARED",
        "a file, 1 files",
        ">=0.1",
        "shop.order",
        "by cancel",
        "required",
        "default 1",
        "shop.guard",
        "GET,HEAD https://shop.example",
        "PLUGIN_NETWORK_DIRECT",
        "allow `shop.order` for clerks",
        "Stock",
        "what its code reaches for",
    ):
        assert text in out, text
    assert (
        out.index("warnings")
        < out.index("what it is")
        < out.index("what it can do")
        < out.index("what it wants")
    )


def test_the_answer_for_programs_fits_the_published_schema(terminal: Terminal, plugin: str) -> None:
    answer = terminal("plugin", "inspect", plugin, "--json").object
    assert set(answer) == {"path", "fingerprint", "warnings", "manifest"}
    assert jsonschema_rs.Draft202012Validator(manifest_schema()).is_valid(answer["manifest"])


def test_many_places_of_one_warning_are_cut(terminal: Terminal) -> None:
    body = "".join(f"def f{i}(): open('x')\n" for i in range(9))
    (terminal.folder / "many.py").write_text(body)
    assert "and 4 more places" in terminal("plugin", "inspect", "many.py").out


def test_a_plain_plugin_has_no_warnings(terminal: Terminal) -> None:
    (terminal.folder / "plain").mkdir()
    (terminal.folder / "plain" / "__init__.py").write_text(
        "from assent import capability\n@capability('plain.get', operation='READ', risk='LOW')\ndef get() -> str: ...\n"
    )
    (terminal.folder / "plain" / "assent-plugin.toml").write_text('name = "plain"')
    assert "no warnings" in terminal("plugin", "inspect", "plain").out


@pytest.mark.parametrize("name", ["absent.py", "broken.py", "broken.whl"])
def test_what_cannot_be_read_is_an_invalid_file(terminal: Terminal, name: str) -> None:
    (terminal.folder / "broken.py").write_text("def (")
    (terminal.folder / "broken.whl").write_text("PK")
    answer = terminal("plugin", "inspect", name)
    assert answer.code == 2
    assert answer.out == ""
    assert "Traceback" not in answer.err
