"""Scans of what is on the network: only within the written scope, whatever the scanner tries."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assent.engine import RunResult
from assent.errors import Json
from assent.sandbox import Sandbox
from tests.capabilities.scan.conftest import Web, Yard
from tests.support.bodies import code
from tests.support.watching import Watcher

pytestmark = pytest.mark.usefixtures("held")


def only(web: Web) -> str:
    return f'networks = ["127.0.0.1"]\nports = [{web.port}]'


def message(result: RunResult) -> str:
    assert result.error is not None
    return str(result.error["message"])


async def test_a_scanner_that_leaves_the_scope_is_stopped_by_the_kernel(
    yard: Yard, web: Web, outside: Web
) -> None:
    """Seen from outside: nobody came there; and told in the result."""
    yard.probe(only(web))
    elsewhere = f"{outside.url},http://127.0.0.2:{web.port}/,http://nobody.example.org/"
    found = await yard.scanned("active", "probe", web.url, more=elsewhere)
    assert (web.paths, outside.paths) == (["/"], [])
    reach = found["scan"]["reach"]
    assert (reach["enforced"], reach["addresses"]) == (True, ["127.0.0.1"])
    assert reach["left_scope"] >= 3
    assert {f"127.0.0.1:{outside.port}", f"127.0.0.2:{web.port}", "nobody.example.org:53"} <= {
        *reach["left_for"]
    }


async def test_a_redirect_out_of_the_scope_leads_nowhere(yard: Yard, web: Web, outside: Web) -> None:
    yard.probe(only(web))
    web.away = outside.url
    found = await yard.scanned("active", "probe", f"{web.url}away")
    assert (web.paths, outside.paths) == (["/away"], [])
    assert found["scan"]["reach"]["left_for"] == [f"127.0.0.1:{outside.port}"]


@pytest.mark.parametrize(
    ("scope", "target", "says"),
    [
        ('networks = ["10.0.0.0/8"]', "http://127.0.0.1:9/", "`127.0.0.1` is not in the scope"),
        ('hosts = ["*.example.org"]', "http://example.org/", "`example.org` is not in the scope"),
        ('networks = ["127.0.0.1"]\nports = [443]', "http://127.0.0.1:9/", "port 9 is not in the scope"),
        ('hosts = ["localhost"]', "http://localhost:9/", "`localhost` resolves to `"),
        ('networks = ["127.0.0.0/8"]\nexcept = ["127.0.0.1"]', "http://127.0.0.1:9/", "`127.0.0.1` is not"),
        ('networks = ["127.0.0.1"]\nprincipals = ["agent:*"]', "http://127.0.0.1:9/", "may not scan"),
        (
            'networks = ["127.0.0.1"]\nuntil = "2020-01-01"',
            "http://127.0.0.1:9/",
            "the scope ended at 2020-01-02",
        ),
    ],
)
async def test_what_is_out_of_the_scope_is_refused_before_anything_starts(
    yard: Yard, scope: str, target: str, says: str
) -> None:
    """Also in a plan, and also a name that only resolves there."""
    yard.probe(scope)
    (yard.bin / "probe").write_text("#!/bin/sh\nexit 99\n")
    result = await yard.run("active", "probe", target)
    assert code(result) == "SCAN_OUT_OF_SCOPE"
    assert says in message(result)
    inputs: dict[str, Json] = {"tool": "probe", "target": target, "project": "demo"}
    async with yard.place.open(box=False) as rt:
        plan = await rt.plan(
            {"name": "w", "steps": [{"name": "s", "capability": "scan.active", "inputs": inputs}]}
        )
    assert "SCAN_OUT_OF_SCOPE" in str(plan.to_json())


async def test_a_name_in_the_scope_is_scanned_at_the_addresses_that_it_was_found_to_have(
    yard: Yard, web: Web, outside: Web
) -> None:
    """They are on record before anything starts."""
    yard.probe(f'hosts = ["localhost"]\nnetworks = ["127.0.0.1", "::1"]\nports = [{web.port}]')
    found = await yard.scanned("active", "probe", f"http://localhost:{web.port}/", more=outside.url)
    assert "127.0.0.1" in found["scan"]["reach"]["addresses"]
    assert (web.paths, outside.paths) == (["/"], [])


async def test_without_a_scope_nothing_is_scanned(yard: Yard, web: Web) -> None:
    yard.probe("")
    for kind in ("active", "passive"):
        yard.probe("", kind=kind)
        assert code(await yard.run(kind, "probe", web.url)) == "SCAN_SCOPE_MISSING"
    assert web.paths == []


@pytest.mark.parametrize(
    "target",
    ["-oX", "--help", "http://-x/", "file:///etc/passwd", "http://u:p@127.0.0.1/", "http://2130706433/"],
)
async def test_a_target_is_never_an_option_nor_anything_else(yard: Yard, target: str) -> None:
    yard.probe('networks = ["0.0.0.0/0"]')
    assert code(await yard.run("active", "probe", target)) in {"URL_INVALID", "TARGET_INVALID"}


async def test_ports_that_nobody_names_are_the_targets_and_no_other_may_be_named(
    yard: Yard, web: Web
) -> None:
    yard.probe(only(web))
    found = await yard.scanned("active", "probe", web.url)
    assert found["scan"]["command"][1:] == [web.url, "-p", str(web.port)]
    result = await yard.run("active", "probe", web.url, ports=f"{web.port},1-70")
    assert (code(result), message(result)) == ("SCAN_OUT_OF_SCOPE", "port 1-70 is not in the scope")


async def test_a_scanner_sees_nothing_of_the_workspace_but_what_an_option_names(yard: Yard, web: Web) -> None:
    yard.probe(only(web))
    (yard.work / "secret.txt").write_text("hidden")
    (yard.work / "words.txt").write_text("admin")
    found = await yard.scanned("active", "probe", web.url, words="words.txt")
    said = found["scan"]["ended"]["stderr"]
    assert "\nadmin\n" in said
    assert "['words-words.txt']" in said
    for path in ("../outside.txt", "/etc/passwd", "gone.txt", ".", "assent.toml/.."):
        assert code(await yard.run("active", "probe", web.url, words=path)) in {
            "OPTION_INVALID",
            "PATH_ESCAPES",
        }


async def test_a_machine_that_holds_nobody_to_the_scope_scans_when_somebody_says_so(
    yard: Yard, web: Web, outside: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sandbox, "scope_missing", lambda _: "this kernel is too old")
    yard.probe(only(web))
    result = await yard.run("active", "probe", web.url)
    assert code(result) == "SCAN_UNENFORCED"
    assert str((result.error or {})["hint"]).startswith("this kernel is too old. `unenforced_scope = true`")
    assert web.paths == []
    yard.probe(only(web), more="unenforced_scope = true")
    found = await yard.scanned("active", "probe", web.url, more=outside.url)
    assert found["scan"]["reach"]["enforced"] is False
    assert outside.paths == ["/"], "which is why it has to be said"


async def test_a_scan_that_takes_too_long_or_says_too_much_is_ended(yard: Yard, web: Web) -> None:
    yard.probe(only(web), time="700ms")
    result = await yard.run("active", "probe", web.url, more="last")
    assert (code(result), message(result)) == ("PROGRAM_LIMIT", "the program was ended by its limit `wall`")
    assert "raise `time` under `[limits]` in its manifest" in str((result.error or {})["hint"])
    yard.probe(only(web))
    result = await yard.run("active", "probe", web.url, noisy="true")
    assert "raise `output_bytes` under `[limits]` in its manifest" in str((result.error or {})["hint"])
    assert (code(result), message(result)) == (
        "PROGRAM_LIMIT",
        "the program was ended by its limit `output_bytes`",
    )


async def test_a_cancelled_scan_ends_its_program(yard: Yard, web: Web) -> None:
    yard.probe(only(web))
    watcher = Watcher()
    async with yard.place.open(box=False) as rt, contextlib.AsyncExitStack() as stack:
        stack.enter_context(rt.telling(watcher))
        inputs: dict[str, Json] = {
            "tool": "probe",
            "target": web.url,
            "project": "demo",
            "options": {"more": "last"},
        }
        task = asyncio.create_task(rt.call("scan.active", inputs))
        await watcher.until(lambda seen: any(line and "200" in line for _, line in seen.lines))
        (run,) = watcher.runs
        await rt.cancel(run)
        result = await task
    assert result.status in {"cancelled", "rolled_back", "failed"}
    assert not any(b"probe" in line for line in _command_lines() if str(yard.bin).encode() in line)


def _command_lines() -> list[bytes]:
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(one.read_bytes())
    return found


async def test_a_preview_shows_the_command_the_program_and_where_it_can_go(yard: Yard, web: Web) -> None:
    yard.probe(only(web))
    inputs: dict[str, Json] = {"tool": "probe", "target": web.url, "project": "demo"}
    async with yard.place.open(box=False) as rt:
        plan: Any = await rt.plan(
            {"name": "w", "steps": [{"name": "s", "capability": "scan.active", "inputs": inputs}]}
        )
    shown = str(plan.to_json())
    assert f"$ {yard.bin}/probe {web.url} -p {web.port}" in shown
    assert "Probe 1.0 (not pinned, sha256 " in shown
    assert "to 127.0.0.1; held to the scope by the kernel" in shown
    assert web.paths == []


@pytest.mark.parametrize(
    ("tool", "options", "records"),
    [("nmap", {}, 1), ("ffuf", {"wordlist": "words.txt"}, 1), ("gobuster", {"wordlist": "words.txt"}, 1)],
)
async def test_a_real_scanner_finds_what_a_weak_server_has(  # noqa: PLR0917  # fixtures
    yard: Yard, web: Web, needs: Callable[[str], None], tool: str, options: dict[str, str], records: int
) -> None:
    needs(tool)
    yard.configure(scope=only(web))
    (yard.work / "words.txt").write_text("admin\nnothing\n")
    found = await yard.scanned("active", tool, "127.0.0.1" if tool == "nmap" else web.url, **options)
    assert (found["tool"], found["records"], found["resources"]) == (tool, records, records)
    assert found["scan"]["reach"]["left_scope"] == 0


async def test_wapiti_finds_what_a_weak_server_lacks(
    yard: Yard, web: Web, needs: Callable[[str], None]
) -> None:
    """And its calls home are refused."""
    needs("wapiti")
    yard.configure(scope=only(web))
    found = await yard.scanned("active", "wapiti", web.url, depth=1)
    assert found["findings"] == found["records"] > 0
    assert all(str(web.port) not in place for place in found["scan"]["reach"]["left_for"])


@pytest.mark.parametrize(
    ("tool", "kind", "version", "golden", "options"),
    [
        (
            "nuclei",
            "active",
            "[INF] Nuclei Engine Version: v3.10.0",
            "nuclei-3.10.jsonl",
            {"templates": "rules"},
        ),
        ("katana", "passive", "[INF] Current version: v1.2.2", "katana-1.2.jsonl", {}),
        ("feroxbuster", "active", "feroxbuster 2.13.0", "feroxbuster-2.13.jsonl", {"wordlist": "words.txt"}),
    ],
)
async def test_what_a_scanner_wrote_elsewhere_goes_the_same_way(  # noqa: PLR0917  # as parametrised
    yard: Yard, web: Web, tool: str, kind: str, version: str, golden: str, options: dict[str, str]
) -> None:
    """A replay program under the very manifest of the scanner."""
    yard.configure(scope=only(web))
    yard.replay(tool, version, golden)
    (yard.work / "rules").mkdir()
    (yard.work / "rules/one.yaml").write_text("id: one\n")
    (yard.work / "words.txt").write_text("admin\n")
    found = await yard.scanned(kind, tool, web.url, **options)
    assert found["scan"]["program"]["version"] == version.rpartition(" ")[2].removeprefix("v")
    assert found["records"] > 0
    assert (
        found["findings"] + found["resources"] + sum(one["count"] for one in found["skipped"])
        == found["records"]
    )
