"""`assent doctor` tells which walls stand around programs, and is loud where none does and programs run all the same."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from assent.capabilities.area import Check
from assent.capabilities.exec.area import home_in
from assent.cli._doctor import _shown
from assent.runtime.doctor import _files
from assent.runtime.doctor._hands import SCOPE, area_checks, sandbox_checks
from assent.runtime.settings.effective import Settings
from assent.sandbox import Holds, Sandbox, Wall
from assent.sandbox import _sandbox as module
from assent.sandbox._plan import Machine


def seen_of(settings: Settings, name: str) -> list[Check]:
    """What areas say under a name."""
    return [one for one in area_checks(settings) if one.name.partition(":")[0] == name]


def checks(root: Path, text: str = "") -> list[tuple[str, str, str]]:
    (root / "assent.toml").write_text(text)
    settings = Settings.resolve(environ={"HOME": str(root)}, cwd=root)
    return [(one.name, one.status, one.seen) for one in sandbox_checks(settings)]


@pytest.fixture
def nothing_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(architecture="x86_64", landlock=0, namespaces=False, uid=1, gid=1)
    holds = Holds("unconfined", {}, {Wall.FILES: "get a newer kernel"})
    monkeypatch.setattr(module, "_FOUND", dict.fromkeys(("auto", "native", "bubblewrap"), (machine, holds)))


def test_each_wall_is_shown_with_what_it_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox.detect() as sandbox:
        if not sandbox.holds.is_confined:
            pytest.skip("nothing can be confined on this machine")
    found = checks(tmp_path)
    assert found[0][:2] == ("sandbox", "ok")
    assert {name for name, _, _ in found[1:]} == {f"sandbox: {wall}" for wall in (*Wall, SCOPE)}
    assert all(seen for _, _, seen in found)
    for missing, told in (
        (None, ("ok", "seccomp asks a guard, which connects and sends")),
        ("x", ("warning", "can't be enforced")),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(Sandbox, "scope_missing", lambda _, why=missing: why)
            assert checks(tmp_path)[-1][1:] == told
    assert checks(tmp_path, "[sandbox]\nunconfined = true\n")[0][1] == "warning"


def test_rules_for_programs_are_shown_with_what_they_lack(tmp_path: Path) -> None:
    """A program that is not there, a variable that is not set: what would refuse the first call is seen before it."""

    def told(text: str) -> list[tuple[str, str, str]]:
        (tmp_path / "assent.toml").write_text(text)
        settings = Settings.resolve(environ={"HOME": str(tmp_path)}, cwd=tmp_path)
        return [(one.name, one.status, one.seen) for one in seen_of(settings, "programs")]

    assert told("") == [("programs", "ok", "no rule under `[exec.rules.NAME]`: none may be run")]
    rules = """
        [exec.rules.good]
        programs = ["sh"]
        principals = ["agent:*"]
        [exec.rules.bad]
        programs = ["sh", "./none", "nonesuch"]
        network = true
        read_only = ["/nonesuch"]
        inherit = ["ASSENT_NEVER_SET"]
    """
    lacks = "not there: `./none`, `nonesuch`, `/nonesuch`; not set: `ASSENT_NEVER_SET`"
    assert told(rules) == [
        ("programs: good", "ok", "sh for agent:*; no network"),
        ("programs: bad", "warning", f"sh, ./none, nonesuch for *; with the network; {lacks}"),
    ]


def test_what_programs_left_is_shown_with_its_size(tmp_path: Path) -> None:
    settings = Settings.resolve(environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    (check,) = seen_of(settings, "captured writes")
    assert check.seen == "none"
    home = home_in(settings.state)
    (home / "kept").mkdir(parents=True)
    (home / "kept" / "ended.json").write_text("{}")
    (check,) = seen_of(settings, "captured writes")
    assert check.status == "ok"
    assert check.seen.startswith("1 kept until applied (")
    assert check.seen.endswith(", 0 in use")
    (home / "left").mkdir()
    (check,) = seen_of(settings, "captured writes")
    assert check.status == "warning"
    assert ", 1 left by a killed command (" in check.seen
    assert (home / "left").is_dir()


def test_who_commits_and_what_may_be_told_are_shown(tmp_path: Path) -> None:
    def told(text: str) -> tuple[str, str]:
        (tmp_path / "assent.toml").write_text(text)
        settings = Settings.resolve(environ={"HOME": str(tmp_path)}, cwd=tmp_path)
        (git,), (info,) = seen_of(settings, "git"), seen_of(settings, "variables that are told")
        return git.seen, info.seen

    assert told("")[0] == "no repository here; commits are by the principal"
    assert "TZ" in told("")[1].split(", ")
    (tmp_path / ".git").mkdir()
    text = '[git]\nname = "Release bot"\nemail = "r@example.org"\n[info]\nenv = []\n'
    assert told(text) == ("a repository; commits are by Release bot <r@example.org>", "none")


def test_settings_come_with_their_units(tmp_path: Path) -> None:
    """JSON keeps the number and says what it counts; people read it with its unit."""
    text = '[sandbox]\nwall = "10m"\nfile_bytes = 4096\nprocesses = 7\n[limits.rate.r]\ncalls = 1\nwindow = "5m"\n'
    (tmp_path / "assent.toml").write_text(text)
    settings = Settings.resolve(environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    found = {one.name: one for one in settings.effective}
    assert msgspec.to_builtins(found["sandbox.wall"]) | {"source": ""} == {
        "name": "sandbox.wall",
        "value": 600_000,
        "source": "",
        "unit": "ms",
    }
    shown = {name: _shown(one) for name, one in found.items()}
    assert (shown["sandbox.wall"], shown["sandbox.file_bytes"], shown["sandbox.processes"]) == (
        "10m",
        "4 KiB",
        "7",
    )
    assert (shown["limits.grace"], shown["limits.step_timeout"]) == ("10s", "2h")
    assert '"window":"5m"' in shown["limits.rate.r"]


@pytest.mark.parametrize(
    ("rule", "strict", "uids", "status"),
    [
        ("approvers: {roles: [security]}", False, (1, 2), "warning"),
        ("approvers: {roles: [security]}", True, (1, 2), "ok"),
        ("approvers: {roles: [security]}", True, (1, 1), "warning"),
        ("approvers: {not_requester: true}", False, (1, 1), "ok"),
    ],
)
def test_named_approvers_want_names_that_are_bound(
    tmp_path: Path, rule: str, strict: bool, uids: tuple[int, int], status: str
) -> None:
    """Also that two people are not one user of the system, who could agree as both."""
    people = "".join(f"[identity.users.{name}]\nuid = {uid}\n" for name, uid in zip("ab", uids, strict=True))
    mine = f"[identity.users.me]\nuid = {os.getuid()}\n"
    identity = f"[identity]\nstrict = {str(strict).lower()}\n{mine}{people}"
    (tmp_path / "assent.toml").write_text(f'policy = "p.yaml"\n{identity}')
    policy = tmp_path / "p.yaml"
    policy.write_text(f"version: 1\nrules: [{{id: r, decision: REQUIRE_APPROVAL, {rule}}}]\n")
    policy.chmod(0o600)
    settings = Settings.resolve(principal="user:me", environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    found = next(one for one in _files.checks(settings) if one.name == "approvers")
    assert found.status == status


def test_refusal_is_a_warning(tmp_path: Path, nothing_holds: None) -> None:
    (first, *ways, last) = checks(tmp_path)
    assert first == ("sandbox", "warning", "nothing holds, so no program is run")
    assert {name for name, _, _ in ways} == {"sandbox: a way to walls"}
    assert last == ("sandbox: without walls", "warning", "switched off")


def test_running_without_walls_is_a_fault(tmp_path: Path, nothing_holds: None) -> None:
    (name, status, seen), *ways = checks(tmp_path, "[sandbox]\nunconfined = true\n")
    assert {name for name, _, _ in ways} == {"sandbox: a way to walls"}
    assert (name, status) == ("sandbox", "fault")
    assert "UNCONFINED" in seen
