"""What a program prints is told to whoever watches while it runs, of both ways to run one, and nothing of it is on record."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.capabilities.exec._output import Lines
from assent.invocation.context.telling import LINES_MAX, LINES_PER_S_MAX
from assent.runtime.service import requests
from assent.runtime.service.service import Service
from assent.sandbox import Sandbox
from tests.support.bodies import Place
from tests.support.watching import Watcher

CAPABILITIES = ["sys.exec.run", "sys.exec.run_captured"]


@pytest.fixture
def gate(yard: Place, tmp_path: Path) -> Path:
    """A folder outside of the workspace that programs see as it is now."""
    found = tmp_path / "gate"
    found.mkdir()
    rules = yard.workspace / "assent.toml"
    rules.write_text(rules.read_text() + f'read_only = ["{found}"]\n')
    return found


def waits(gate: Path, name: str = "open") -> str:
    return f"while [ ! -e {gate}/{name} ]; do sleep 0.02; done"


def workflow(*lines: str, capability: str = "sys.exec.run", **inputs: Any) -> dict[str, Any]:
    """One step for each program; none waits for another."""
    steps = [
        {
            "name": f"s{number}",
            "capability": capability,
            "inputs": {"argv": ["sh", "-c", line], **inputs},
            "depends_on": [],
        }
        for number, line in enumerate(lines)
    ]
    return {"name": "w", "steps": steps}


@pytest.mark.parametrize("capability", CAPABILITIES)
async def test_a_line_is_told_while_the_program_runs(yard: Place, gate: Path, capability: str) -> None:
    """The program ends only after somebody has read what it printed first."""
    watcher = Watcher()
    line = f"echo begun; {waits(gate)}; printf 'no end'; echo wrong >&2"
    async with yard.open(box=False) as rt:
        with rt.telling(watcher):
            running = asyncio.ensure_future(rt.run(workflow(line, capability=capability)))
            await watcher.until(lambda told: bool(told.lines))
            (gate / "open").touch()
            result = await running
        assert result.status == "succeeded"
        assert watcher.lines[0] == ("s0", "begun")
        assert sorted(map(str, watcher.of("s0")[1:])) == ["no end", "wrong"]
        assert watcher.runs == {result.run_id}
        assert "step.said" not in rt.kinds(result.run_id)


async def test_a_plan_tells_what_the_programs_print_that_it_runs(
    yard: Place, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect, made = Sandbox.detect, list[Sandbox]()

    def noted(**given: Any) -> Sandbox:
        made.append(detect(**given))
        return made[-1]

    monkeypatch.setattr(Sandbox, "detect", noted)
    reports: list[dict[str, Any]] = []
    begun = asyncio.Event()

    def tell(report: dict[str, Any]) -> None:
        reports.append(report)
        begun.set()

    step = f'argv: [sh, -c, "echo begun; {waits(gate)}; echo one > made"]'
    text = f"name: w\nsteps:\n  - name: make\n    capability: sys.exec.run_captured\n    inputs: {{{step}}}\n"
    request = requests.Plan(text=text, source="w.yaml", execute_captured=True)
    settings = yard.settings()
    planning = asyncio.ensure_future(Service(settings).perform(request, tell=tell))
    async with asyncio.timeout(60):
        await begun.wait()
    (gate / "open").touch()
    assert (await planning).plan_id
    assert [sandbox.launcher_id for sandbox in made] == [None], "what it started for that has ended with it"
    [report] = reports
    assert (report["n"], report["event"]) == (None, {"kind": "step.said", "step": "make", "line": "begun"})


async def test_lines_of_programs_that_run_at_once_do_not_mix(yard: Place) -> None:
    """Each is told whole, though it was printed in pieces."""
    watcher = Watcher()
    line = "i=0; while [ $i -lt 40 ]; do printf {0}$i-; printf {0}$i; echo; i=$((i+1)); done"
    async with yard.open(box=False) as rt:
        with rt.telling(watcher):
            result = await rt.run(workflow(line.format("a"), line.format("b")))
    assert result.status == "succeeded"
    for step, letter in (("s0", "a"), ("s1", "b")):
        assert watcher.of(step) == [f"{letter}{number}-{letter}{number}" for number in range(40)]


async def test_a_secret_is_hidden_also_when_it_is_printed_in_two_pieces(
    yard: Place, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line is told while the program runs, once enough has followed it that no value can go on there."""
    monkeypatch.setenv("ASSENT_SECRET_TOKEN", "hunter-of-secrets-7")
    toml = yard.workspace / "assent.toml"
    toml.write_text(toml.read_text() + '[secrets.token]\ncapabilities = ["sys.exec.run"]\n')
    watcher = Watcher()
    follows = f"{'.' * 200}\n{'.' * 200}"
    line = (
        f'printf "it is %s" "${{GREETING%-secrets-7}}"; echo "{follows}" >&2; {waits(gate, "half")}; '
        f'echo -secrets-7; echo "{follows}"; {waits(gate, "whole")}'
    )
    async with yard.open(box=False) as rt:
        with rt.telling(watcher):
            running = asyncio.ensure_future(
                rt.run(workflow(line, environment={"GREETING": "secret://token"}))
            )
            # What was printed before it on the other stream has been read by then.
            await watcher.until(lambda told: bool(told.lines))
            assert watcher.of("s0") == ["." * 200]
            (gate / "half").touch()
            await watcher.until(lambda told: "it is ***" in told.of("s0"))
            (gate / "whole").touch()
            result = await running
    assert result.status == "succeeded"
    assert not re.search("hunter|secrets-7", repr(watcher.lines))


async def test_a_flood_is_told_in_part(yard: Place) -> None:
    watcher = Watcher()
    async with yard.open(box=False) as rt:
        with rt.telling(watcher):
            result = await rt.run(workflow("yes | head -c 4000000"))
    assert result.status == "succeeded"
    assert None in watcher.of("s0")
    assert len([line for line in watcher.of("s0") if line]) <= LINES_MAX


def lines_of(*pieces: bytes) -> list[str]:
    lines = Lines()
    texts = [*map(lines.feed, pieces), lines.end()]
    return [line for text in texts for one in text.split("\n") if (line := one.rstrip())]


@given(st.lists(st.sampled_from([b"a", b"\xc3", b"\xa9", b"\n", b"\r", b" "]), max_size=30), st.data())
def test_where_a_stream_is_cut_changes_no_line(characters: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(characters)
    at = data.draw(st.integers(0, len(whole)))
    assert lines_of(whole[:at], whole[at:]) == lines_of(whole)


def test_a_line_is_what_a_terminal_would_leave_of_it() -> None:
    """A bar that grows is one line, as it was in the end; the line ends of another system are none of its text."""
    assert lines_of(b"10%\r20", b"%\r100%\n", b"done\r\n") == ["100%", "done"]


def test_a_line_without_an_end_is_kept_in_part() -> None:
    lines = Lines()
    for _ in range(1000):
        assert lines.feed(b"x" * 1000) == ""
    assert 200 < len(lines.end()) < 1000


def test_of_many_lines_at_once_one_more_than_can_be_told_is_made() -> None:
    lines = Lines()
    assert len(lines.feed(b"y\n" * 30_000 + b"rest").split("\n")) == LINES_PER_S_MAX + 1
    assert lines.end() == "rest"
