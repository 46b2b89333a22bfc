"""`assent findings`, as it is typed: what is imported, looked at, decided, compared, written out, proved and removed."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.books import nuclei
from tests.support.nursery import Ended, Nursery
from tests.support.own_places import own_places
from tests.support.scanned import GOLDEN

SCAN: Final = GOLDEN / "nuclei-3.10.jsonl"
ALLOWED: Final = (
    '{id: all, when: {principal: "user:*"}, decision: ALLOW, without_approval: true, reason: test}'
)
ASKED: Final = "{id: imports, when: {capability: findings.import}, decision: REQUIRE_APPROVAL, reason: test}"
TOLD: Final = {
    "tool", "version", "name", "project_id", "records", "findings", "resources", "skipped", "by_severity", "new", "known",
    "drift", "dataset", "run_id", "entry", "fault",
}  # fmt: skip


@dataclass(frozen=True)
class Shell:
    """A workspace that nothing was run in, in which commands are typed."""

    folder: Path
    env: dict[str, str]
    nursery: Nursery

    def __call__(self, *words: str) -> Ended:
        return self.nursery.run(*words, cwd=self.folder, env=self.env)

    def fed(self, data: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
        """The same with something on its standard input."""
        words = (sys.executable, "-m", "assent", *words)
        return subprocess.run(words, cwd=self.folder, env=self.env, input=data, capture_output=True, check=False)  # fmt: skip

    def json(self, *words: str) -> Any:
        """The last line that `--json` prints."""
        return json.loads(self("findings", *words, "--json").out.splitlines()[-1])

    def listed(self, *words: str) -> Any:
        """The findings that are listed."""
        return self.json("list", *words)["findings"]

    def refused(self, *words: str) -> tuple[int, str]:
        """The code of a command that is refused, and that of its error."""
        ended = self("findings", *words, "--json")
        found = json.loads(ended.out.splitlines()[-1])
        return ended.code, (found.get("fault") or found)["error"]["code"]

    def runs(self) -> Any:
        """All that is on record."""
        return json.loads(self("runs", "--json").out)

    def policy(self, *rules: str) -> None:
        path = self.folder / "policy.yaml"
        path.write_text("version: 1\nrules:\n" + "".join(f"  - {one}\n" for one in rules))
        path.chmod(0o600)

    def scan(self, name: str, *matters: tuple[str, str, str]) -> str:
        """A file beside the workspace, as nuclei would have written it."""
        path = self.folder.parent / name
        path.write_bytes(nuclei(matters))
        return str(path)


@pytest.fixture
def shell(tmp_path: Path, measured_env: dict[str, str], nursery: Nursery) -> Iterator[Shell]:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "assent.toml").write_text('policy = "policy.yaml"\n')
    with own_places(tmp_path, measured_env) as env:
        found = Shell(folder, env, nursery)
        found.policy(ALLOWED)
        yield found


def test_a_file_from_anywhere_is_imported_by_the_first_command_of_all(shell: Shell) -> None:
    ended = shell("findings", "import", str(SCAN), "--project", "shop")
    assert ended.code == 0, ended
    assert "4 records: 3 findings, 0 resources, 1 skipped" in ended.out
    assert "skipped 1: the template did not match" in ended.out
    assert "fields not known to this release: never-seen" in ended.out
    assert "3 new, 0 known" in ended.out
    assert (shell.folder / ".assent").stat().st_mode & 0o077 == 0
    assert [*(shell.folder / ".assent" / "handed").iterdir()] == []


def test_what_an_import_came_to_is_told_as_the_contract_says(shell: Shell) -> None:
    found = shell.json("import", str(SCAN), "-p", "shop")
    assert found.keys() == TOLD
    assert (found["tool"], found["records"], found["findings"], found["resources"]) == ("nuclei", 4, 3, 0)
    assert found["skipped"] == [{"reason": "the template did not match", "count": 1}]
    assert found["by_severity"] == {"critical": 0, "high": 0, "info": 1, "low": 0, "medium": 1, "unknown": 1}
    assert (found["new"], found["known"], found["fault"]) == (3, 0, None)
    assert found["drift"] == {"new_fields": {"never-seen": 1}, "missing_fields": {}}
    again = shell.json("import", str(SCAN), "-p", "shop")
    assert (again["new"], again["known"]) == (0, 3)
    assert again["run_id"] != found["run_id"]


def test_records_about_one_matter_count_as_records_and_are_one_finding(shell: Shell) -> None:
    matter = ("git-config", "low", "shop.example")
    scan = shell.scan("scan.jsonl", matter, matter, matter)
    found = shell.json("import", scan, "-p", "shop")
    assert (found["records"], found["findings"], found["new"], found["known"]) == (3, 3, 1, 0)
    told = shell("findings", "import", scan, "-p", "shop").out
    assert "  0 new, 1 known: some records are about the same" in told


def test_standard_input_is_a_file_too(shell: Shell) -> None:
    ended = shell.fed(SCAN.read_bytes(), "findings", "import", "-", "-p", "shop", "--json")
    assert ended.returncode == 0, ended
    assert json.loads(ended.stdout)["name"] == "standard input"


def test_each_of_several_files_is_a_call_and_tells_a_line(shell: Shell) -> None:
    other = shell.scan("other.jsonl", ("git-config", "critical", "blog.example"))
    ended = shell("findings", "import", str(SCAN), other, "-p", "shop", "--json", "--fail-on", "critical")
    first, second = map(json.loads, ended.out.splitlines())
    assert (first["name"], second["name"]) == ("nuclei-3.10.jsonl", "other.jsonl")
    assert first["run_id"] != second["run_id"]
    assert ended.code == 1


@pytest.mark.parametrize(("least", "code"), [("high", 0), ("medium", 1), ("info", 1)])
def test_a_pipeline_fails_on_what_is_as_bad_as_it_says_and_open(shell: Shell, least: str, code: int) -> None:
    """What was decided about, or is suppressed, is let pass: by the import that finds it again as by the list."""
    commands = (["import", str(SCAN), "-p", "shop"], ["list"], ["list", "--json"])
    for words in commands:
        ended = shell("findings", *words, "--fail-on", least)
        assert ended.code == code, ended
        assert (f"exit code 1: `--fail-on {least}` found 1 medium" in ended.err) == bool(code)
        assert ("1 finding of unknown severity" in ended.err) == (least != "info")
    for one, decision in zip(
        shell.listed(), (["--set", "risk_accepted"], ["--suppress", "x"], ["--set", "resolved"]), strict=True
    ):
        assert shell("findings", "triage", one["id"], *decision).code == 0
    for words in commands:
        ended = shell("findings", *words, "--fail-on", least)
        assert (ended.code, "exit code 1" in ended.err, "unknown severity" in ended.err) == (0, False, False)


def test_what_a_filter_leaves_out_fails_no_pipeline(shell: Shell) -> None:
    shell("findings", "import", str(SCAN), "-p", "shop")
    ended = shell("findings", "list", "--severity", "info", "--fail-on", "medium")
    assert (ended.code, "of unknown severity" in ended.err) == (0, False)
    assert (
        shell("findings", "list", "--severity", "info", "--severity", "medium", "--fail-on", "medium").code
        == 1
    )


def test_a_pipeline_is_told_that_there_are_more_than_are_counted(shell: Shell) -> None:
    many = [(f"rule-{one}", "high", "x") for one in range(1001)]
    first = shell.json("import", shell.scan("one", ("rule-a", "low", "x")), "-p", "shop", "--tool", "nuclei")[
        "run_id"
    ]
    ended = shell("findings", "import", shell.scan("many", *many), "-p", "shop", "--fail-on", "high")
    assert (ended.code, "found at least 1000 high in `many`" in ended.err) == (1, True)
    compared = shell("findings", "diff", first, "@", "--fail-on", "high")
    assert (compared.code, "`--fail-on high` found 1001 high" in compared.err) == (1, True)


def test_of_several_files_it_is_told_which_could_not_be_imported(shell: Shell) -> None:
    (shell.folder / "empty.json").touch()
    (shell.folder / "cut.jsonl").write_bytes(SCAN.read_bytes()[:900])
    ended = shell("findings", "import", "empty.json", str(SCAN), "cut.jsonl", "-p", "shop")
    assert ended.code == 1
    assert "--> empty.json" in ended.out
    assert "say which `tool` wrote it" in ended.out
    assert "exit code 1: not all could be read: the fault is at cut.jsonl:" in ended.err
    assert ended.err.endswith("exit code 1 because of empty.json, cut.jsonl\n")
    assert shell("findings", "import", "empty.json", "-p", "shop", "--tool", "nuclei").code == 0


def test_what_is_no_finding_is_listed_where_it_is(shell: Shell) -> None:
    (shell.folder / "paths.jsonl").write_bytes((GOLDEN / "katana-1.2.jsonl").read_bytes())
    ended = shell("findings", "import", "paths.jsonl", "-p", "net")
    assert "assent findings discovered --project net" in ended.err
    assert "assent findings list" not in ended.err
    assert "no findings, " in ended.err
    page = shell.json("discovered", "--limit", "1")
    assert (len(page["resources"]), page["next"] is None) == (1, False)


def test_a_broken_file_gives_its_records_and_fails(shell: Shell) -> None:
    (shell.folder / "cut.jsonl").write_bytes(SCAN.read_bytes()[:900])
    ended = shell("findings", "import", "cut.jsonl", "-p", "shop", "--json")
    found = json.loads(ended.out.splitlines()[-1])
    assert (ended.code, found["findings"]) == (1, 1)
    assert found.keys() == TOLD
    fault = found["fault"]["error"]
    assert fault.keys() == {"code", "message", "path", "hint", "details"}
    assert (fault["code"], fault["path"]) == ("OUTPUT_BROKEN", f"cut.jsonl:{fault['details']['begin']}")
    assert fault["hint"] == "the records before it were read"
    assert len(shell.listed()) == 1
    assert "broken at cut.jsonl:" in shell("findings", "import", "cut.jsonl", "-p", "shop").out


@pytest.mark.parametrize(
    ("tool", "text", "message", "hint"),
    [
        ("bandit", SCAN.read_text().splitlines()[0], "it holds nothing of `bandit`", "it is of `nuclei`"),
        ("katana", SCAN.read_text(), "none of 4 records could be read", "it is of `nuclei`"),
        ("katana", '{"a": 1}\n{"b": 2}\n', "none of 2 records could be read", "JSON with `a`"),
        ("nmap", SCAN.read_text(), "", "it is of `nuclei`"),
    ],
)
def test_what_is_of_another_tool_is_a_failure_on_record(
    shell: Shell, tool: str, text: str, message: str, hint: str
) -> None:
    """A wrong `--tool` reads nothing: who looks at the exit code alone must not take that for a clean system."""
    (shell.folder / "out").write_text(text)
    ended = shell("findings", "import", "out", "-p", "shop", "--tool", tool, "--json")
    found = json.loads(ended.out.splitlines()[-1])
    assert (ended.code, found["findings"], found["resources"]) == (1, 0, 0)
    fault = found["fault"]["error"]
    assert message in fault["message"]
    assert hint in fault["hint"]
    assert len(shell.json("datasets")) == 1
    text = shell("findings", "import", "out", "-p", "shop", "--tool", tool).out
    assert text.startswith("not read ")
    assert hint in text


def test_an_import_that_fails_as_a_whole_is_told_in_the_same_shape(shell: Shell) -> None:
    (shell.folder / "out").write_text("nothing that a tool wrote")
    words = ("findings", "import", "out", "-p", "shop", "--json")
    ended = shell(*words)
    (line,) = ended.out.splitlines()
    found = json.loads(line)
    assert (ended.code, {*found}, found["fault"]["error"]["code"]) == (1, TOLD, "TOOL_UNKNOWN")
    assert found["run_id"] == shell.runs()[0]["run_id"]
    assert (found["tool"], found["version"], found["name"], found["records"]) == (None, None, "out", 0)
    known = json.loads(shell(*words, "--tool", "zzz9", "--tool-version", "3").out)
    assert (known["tool"], known["version"], {*known}) == ("zzz9", "3", TOLD)


def test_an_import_that_waits_is_told_as_its_run(shell: Shell) -> None:
    shell.policy(ASKED, ALLOWED)
    ended = shell("findings", "import", str(SCAN), "-p", "shop", "--json")
    assert (ended.code, json.loads(ended.out)["status"]) == (4, "waiting")


def test_what_says_itself_that_it_failed_is_a_failure(shell: Shell) -> None:
    said = {
        "version": "1.180.0",
        "results": [],
        "paths": {},
        "errors": [{"level": "error", "message": "no rules"}],
    }
    (shell.folder / "out").write_text(json.dumps(said))
    ended = shell("findings", "import", "out", "-p", "shop")
    assert ended.code == 1
    assert "the tool says that it failed: no rules" in ended.out
    assert "there may be more than it found" in ended.out


@pytest.mark.parametrize(
    "text", ["[]", "", '{"template-id": "a", "info": {"name": "n"}, "matcher-status": false}']
)
def test_that_there_was_nothing_is_no_failure(shell: Shell, text: str) -> None:
    (shell.folder / "out").write_text(text)
    found = shell.json("import", "out", "-p", "shop", "--tool", "nuclei")
    assert (found["findings"], found["fault"]) == (0, None)


OWN: Final = """\
tool = "ourscan"
title = "Ours"
about = "files"
record = "a complaint"
kind = "setting"

[[recognise]]
top = ["complaints"]

[[records]]
path = "complaints.*"

[records.fields]
title = "text"
severity = "level"
"at.path" = "file"
"""
OURS: Final = '{"complaints": [{"text": "bad", "level": "high", "file": "a.ini"}]}'


@pytest.fixture
def own(shell: Shell) -> Shell:
    """A workspace with a parser of its own, and an output for it."""
    (shell.folder / "assent.toml").write_text('policy = "policy.yaml"\n[findings]\ntools = "parsers"\n')
    (shell.folder / "parsers").mkdir()
    (shell.folder / "parsers/ourscan.toml").write_text(OWN)
    (shell.folder / "out.json").write_text(OURS)
    return shell


def test_the_workspaces_own_parsers_are_known_to_detect(own: Shell) -> None:
    assert own.json("detect", "out.json")["tool"] == "ourscan"
    assert own("findings", "detect", "../none/out.json").code == 2
    (own.folder / "assent.toml").unlink()
    assert own.refused("detect", "out.json") == (2, "TOOL_UNKNOWN"), "only ours are known elsewhere"


def test_a_broken_parser_stops_only_what_needs_it(own: Shell) -> None:
    (own.folder / "parsers/ourscan.toml").write_text(OWN.replace("severity =", "severty ="))
    found = own.json("import", str(SCAN), "-p", "shop")
    assert found["findings"] == 3
    for words in (
        ["import", "out.json", "-p", "shop"],
        ["import", "out.json", "-p", "shop", "--tool", "ourscan"],
    ):
        ended = own("findings", *words)
        assert ended.code == 1
        assert "parsers/ourscan.toml:15:1" in ended.out + ended.err
        assert "did you mean `severity`?" in ended.out + ended.err
    assert own.refused("import", "out.json", "-p", "shop", "--tool", "zzz9") == (1, "TOOL_MANIFEST_INVALID")
    assert (
        "did you mean `ourscan`?"
        in own("findings", "import", "out.json", "-p", "shop", "--tool", "orscan").out
    )
    assert own.refused("import", "out.json", "-p", "shop", "--tool", "nucli") == (1, "TOOL_UNKNOWN")
    assert own.refused("detect", "out.json") == (2, "TOOL_MANIFEST_INVALID")
    detected = own("findings", "detect", str(SCAN))
    assert detected.code == 0
    assert "not used: the manifest `parsers/ourscan.toml`" in detected.err
    assert "mend parsers/ourscan.toml:15:1" in own("doctor").out


def test_a_broken_parser_in_the_place_of_ours_is_not_passed_over(own: Shell) -> None:
    """Who puts a `nuclei.toml` of their own there means that one."""
    (own.folder / "parsers/nuclei.toml").write_text("tool = 1\n")
    assert own.refused("import", str(SCAN), "-p", "shop") == (1, "TOOL_MANIFEST_INVALID")
    assert own.refused("import", str(SCAN), "-p", "shop", "--tool", "nuclei") == (1, "TOOL_MANIFEST_INVALID")


def test_parsers_that_can_not_be_read_and_a_folder_that_is_not_there_are_told(own: Shell) -> None:
    own.folder.joinpath("parsers/large.toml").write_bytes(b"#" * (257 << 10))
    own.folder.joinpath("parsers/folder.toml").mkdir()
    doctor = own("doctor").out
    assert "has more than 262144 bytes" in doctor
    assert "`parsers/folder.toml` can't be read: is a directory" in doctor
    assert "ourscan in `parsers`" in doctor
    shutil.rmtree(own.folder / "parsers")
    assert "there is no folder `parsers`" in own("doctor").out
    assert own.json("import", str(SCAN), "-p", "shop")["findings"] == 3


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["import", "none.jsonl", "-p", "shop"], 2, "FILE_MISSING"),
        (["import", str(SCAN), "none.jsonl", "-p", "shop"], 2, "FILE_MISSING"),
        (["import", ".", "-p", "shop"], 2, "FILE_UNREADABLE"),
        (["import", "/proc/self/mem", "-p", "shop"], 2, "FILE_UNREADABLE"),
        (["import", str(SCAN)], 2, "USAGE_INVALID"),
        (["import", "-p", "shop"], 2, "USAGE_INVALID"),
        (["import", str(SCAN), "-p", "shop", "--fail-on", "awful"], 2, "USAGE_INVALID"),
        (["import", str(SCAN), "-p", "shop", "--tool", "nucli"], 1, "TOOL_UNKNOWN"),
        (["import", "assent.toml", "-p", "shop"], 1, "TOOL_UNKNOWN"),
        (["import", str(SCAN), "-p", " shop"], 1, "PROJECT_NAME_INVALID"),
        (["list", "-p", "none"], 2, "PROJECT_UNKNOWN"),
        (["list"], 2, "PROJECT_UNKNOWN"),
        (["list", "--severity", "awful"], 2, "USAGE_INVALID"),
        (["list", "--run", "run_none"], 2, "RUN_UNKNOWN"),
        (["datasets", "--run", "run_none"], 2, "RUN_UNKNOWN"),
        (["show", "abcd"], 2, "FINDING_UNKNOWN"),
        (["prove", "abcd"], 2, "FINDING_UNKNOWN"),
        (["triage", "--set", "resolved"], 2, "USAGE_INVALID"),
        (["triage", "abcd", "--set", "resolved"], 2, "FINDING_UNKNOWN"),
        (["triage", "abcd", "--until", "2027-01-31T00:00:00Z"], 2, "USAGE_INVALID"),
        (["delete", "none"], 2, "PROJECT_UNKNOWN"),
        (["delete", "none", "--apply"], 2, "PROJECT_UNKNOWN"),
        (["gc", "-p", "none"], 2, "PROJECT_UNKNOWN"),
        (["gc", "--findings-days", "0"], 2, "USAGE_INVALID"),
        (["export", "-p", "none"], 2, "PROJECT_UNKNOWN"),
        (["diff", "run_a", "run_b"], 2, "RUN_UNKNOWN"),
        (["stats"], 2, "PROJECT_UNKNOWN"),
    ],
    ids=lambda value: " ".join(value[:3]).replace(str(SCAN), "FILE") if isinstance(value, list) else None,
)
def test_what_can_not_be_is_one_error_and_leaves_nothing(
    shell: Shell, words: list[str], code: int, error: str
) -> None:
    assert shell.refused(*words) == (code, error)
    assert shell.json("projects") == []
    assert shell.json("datasets") == []


def test_a_finding_is_listed_shown_decided_about_and_listed_no_more(shell: Shell) -> None:
    run = shell.json("import", str(SCAN), "-p", "shop")["run_id"]
    listed = shell.listed()
    assert [one["severity"] for one in listed] == ["medium", "unknown", "info"]
    assert "Git configuration can be read" in shell("findings", "list").out
    first = listed[0]
    shown = shell("findings", "show", first["id"][:8])
    assert (shown.code, "[core]" in shown.out, f"run {run}" in shown.out) == (0, True, True)
    document = shell.json("show", first["id"])
    assert document["finding"]["provenance"]["ledger_entry"] == str(first["entry"])
    assert document["dataset"]["run_id"] == run

    decided = shell.json(
        "triage", first["id"][:8], "--set", "false_positive", "--owner", "ann", "--tag", "web", "--note", "a test page"
    )  # fmt: skip
    assert decided["status"] == "succeeded"
    assert [one["severity"] for one in shell.listed()] == ["unknown", "info"]
    assert [
        one["id"] for one in shell.listed("--status", "false_positive", "--owner", "ann", "--tag", "web")
    ] == [first["id"]]
    assert "a test page" in shell("findings", "show", first["id"]).out
    shell("findings", "import", str(SCAN), "-p", "shop")
    assert len(shell.listed()) == 2, "what was decided sticks to the finding"
    assert shell("undo", decided["run_id"]).code == 0
    assert len(shell.listed()) == 3


def test_many_are_decided_about_by_what_they_have_in_common(shell: Shell) -> None:
    run = shell.json("import", str(SCAN), "-p", "shop")["run_id"]
    assert (
        shell.json("triage", "--run", run[:-2], "--severity", "info", "--suppress", "known")["status"]
        == "succeeded"
    )
    assert [one["severity"] for one in shell.listed()] == ["medium", "unknown"]
    assert [one["severity"] for one in shell.listed("--suppressed")] == ["info"]
    assert [one["severity"] for one in shell.listed("--status", "any")] == ["medium", "unknown", "info"]
    stats = shell.json("stats")
    assert (stats["total"], stats["active"], stats["suppressed"]) == (3, 2, 1)
    assert "owners" not in shell("findings", "stats").out
    shell("findings", "triage", "--severity", "medium", "--owner", "ann")
    assert "owners: (nobody) 1, ann 1" in shell("findings", "stats").out
    shell("findings", "triage", "--tool", "nuclei", "--unsuppress")
    assert len(shell.listed("--run", run)) == 3


@pytest.mark.parametrize(
    ("words", "error", "told"),
    [
        (["--severity", "medium"], "USAGE_INVALID", "nothing is decided"),
        (["--severity", "medium", "--suppress", "x", "--unsuppress"], "INVALID_INPUT", "exclude each other"),
        (["--severity", "medium", "--set", "opne"], "USAGE_INVALID", "did you mean `open`?"),
        (["--severity", "medum", "--set", "open"], "USAGE_INVALID", "did you mean `medium`?"),
        (["--severity", "medium", "--suppress", " "], "INVALID_INPUT", "must have a reason"),
        (["--severity", "medium", "--suppress", "x", "--until", "soon"], "INVALID_INPUT", "must be a time in UTC"),
        (["--severity", "medium", "--suppress", "x", "--until", "2027-02-30"], "INVALID_INPUT", "not a time that exists"),
        (["--severity", "medium", "--suppress", "x", "--until", "2020-01-01"], "TRIAGE_INVALID", "2020-01-01T23:59:59Z"),
        (["--severity", "low", "--set", "open"], "FINDING_UNKNOWN", "`assent findings list` shows"),
        (["--tool", "nuclie", "--set", "open"], "FINDING_UNKNOWN", "did you mean `nuclei`?"),
        (["--tagged", "wbe", "--set", "open"], "FINDING_UNKNOWN", "did you mean `web`?"),
        (["--owned-by", "bob", "--set", "open"], "FINDING_UNKNOWN", "has the owner `bob`"),
        (["ID", "--set", "open", "-p", "none"], "PROJECT_UNKNOWN", "there is no project `none`"),
        (["ID", "--set", "open", "-p", "blog"], "FINDING_UNKNOWN", "is not of the project `blog`"),
        (["ID", "--severity", "medium", "--set", "open"], "USAGE_INVALID", "name findings, or say which fit"),
    ],
)  # fmt: skip
def test_what_can_not_be_decided_is_refused_before_anything_is_recorded(
    shell: Shell, words: list[str], error: str, told: str
) -> None:
    shell("findings", "import", str(SCAN), "-p", "shop")
    shell("findings", "import", shell.scan("blog", ("rule-a", "low", "x")), "-p", "blog")
    finding = shell.listed("-p", "shop")[0]["id"]
    shell("findings", "triage", finding, "--owner", "ann", "--tag", "web")
    before = shell.runs()
    words = [finding if one == "ID" else one for one in words]
    words += [] if "-p" in words else ["-p", "shop"]
    ended = shell("findings", "triage", *words, "--json")
    found = json.loads(ended.out)["error"]
    assert (ended.code, found["code"]) == (2, error)
    assert told in f"{found['message']} {found['hint']}"
    assert shell.runs() == before


def test_a_day_is_meant_to_its_end_and_a_few_of_many_are_shown_before(shell: Shell) -> None:
    many = [(f"rule-{one:02}", "high" if one else "critical", "x") for one in range(12)]
    shell("findings", "import", shell.scan("many", *many), "-p", "shop")
    words = ["triage", "--tool", "nuclei", "--suppress", "a decoy", "--until", "2099-01-31"]
    shown = shell("findings", *words, "--dry-run")
    head, first, *rest = shown.out.splitlines()
    assert head == "decides about 12 findings: suppress until 2099-01-31T23:59:59Z: a decoy"
    assert (" critical " in first, len(rest), rest[-1]) == (True, 10, "  and 2 more, none of them worse")
    assert (shown.code, shown.err) == (0, "nothing was decided\n")
    assert len(shell.listed()) == 12
    done = shell("findings", *words)
    assert "decided about 12 findings\n  suppress until 2099-01-31T23:59:59Z: a decoy" in done.out
    assert len(done.out.splitlines()) == 3, "not an id of each"
    assert shell.listed() == []
    # As `list`, it is about what is open and not suppressed, unless it is said.
    assert shell.refused("triage", "--tool", "nuclei", "--note", "x") == (2, "FINDING_UNKNOWN")
    again = shell("findings", *words, "--suppressed")
    assert (again.code, "nothing is to be done" in again.err) == (0, True)
    assert (
        shell.json("triage", "--status", "any", "--severity", "critical", "--unsuppress")["status"]
        == "succeeded"
    )
    assert len(shell.listed()) == 1


def test_what_is_suppressed_with_another_one_is_told_of_again_by_that(shell: Shell) -> None:
    shell(
        "findings",
        "import",
        shell.scan("two", ("rule-a", "high", "x"), ("rule-a", "high", "y")),
        "-p",
        "shop",
    )
    first, other = (one["id"] for one in shell.listed())
    words = ["triage", first, "--suppress", "a decoy", "--scope", "detector"]
    assert "suppress with all of its detector: a decoy" in shell("findings", *words).out
    assert shell.listed() == []
    assert (
        f"for good, as {first[:8]} is, with all of its detector: a decoy"
        in shell("findings", "show", other).out
    )
    refused = shell("findings", "triage", other, "--unsuppress")
    assert (refused.code, f"`assent findings triage {first[:8]} --unsuppress`" in refused.err) == (2, True)
    assert shell("findings", "triage", "--tool", "nuclei", "--unsuppress").code == 0
    assert len(shell.listed()) == 2


def test_a_dry_run_says_what_the_policy_would(shell: Shell) -> None:
    rule = "{id: triage, when: {capability: findings.triage}, decision: %s, reason: not today}"
    shell("findings", "import", str(SCAN), "-p", "shop")
    for decision, code, told in (("DENY", 3, "denied"), ("REQUIRE_APPROVAL", 4, "asked about")):
        shell.policy(rule % decision, ALLOWED)
        words = ["findings", "triage", "--severity", "medium", "--set", "triaged"]
        assert f"it would be {told}: not today" in shell(*words, "--dry-run").err
        assert shell(*words).code == code


def test_an_undo_that_somebody_decided_behind_is_refused(shell: Shell) -> None:
    shell("findings", "import", str(SCAN), "-p", "shop")
    run = shell.json("triage", "--severity", "medium", "--set", "triaged")["run_id"]
    shell("findings", "triage", "--severity", "medium", "--set", "resolved")
    for words in ((), ("--plan",)):
        ended = shell("undo", run, *words)
        assert ended.code == 5 or words
        assert "somebody decided otherwise" in ended.out + ended.err
    assert {one["status"] for one in shell.runs()} == {"succeeded"}
    assert [one["status"] for one in shell.listed("--status", "any", "--severity", "medium")] == ["resolved"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--tool", "nuclie"], "no finding of the project has the tool `nuclie`: did you mean `nuclei`?"),
        (
            ["--detector", "nuclei.git-confg"],
            "the rule `nuclei.git-confg`: did you mean `nuclei.git-config`?",
        ),
        (["--owner", "bob"], "no finding of the project has the owner `bob`"),
        (["--tag", "web"], "no finding of the project has the tag `web`"),
        (["--severity", "critical"], "no finding fits"),
        (["--tool", "nuclei", "--severity", "critical"], "no finding fits"),
    ],
)
def test_where_nothing_fits_it_is_told_what_nobody_has(shell: Shell, words: list[str], told: str) -> None:
    shell("findings", "import", str(SCAN), "-p", "shop")
    ended = shell("findings", "list", *words)
    assert (ended.code, ended.err.splitlines()[-1].endswith(told)) == (0, True), ended
    assert shell.json("list", *words)["unheard"] == ended.err.splitlines()[1:]


def test_a_decision_that_a_finding_has_no_room_for_is_refused_and_the_others_go_on(shell: Shell) -> None:
    shell("findings", "import", str(SCAN), "-p", "shop")
    many = [word for one in range(60) for word in ("--tag", f"a{one}")]
    assert shell("findings", "triage", "--severity", "medium", *many).code == 0
    more = [word.replace("a", "b") if word != "--tag" else word for word in many]
    assert shell.refused("triage", "--severity", "medium", *more) == (2, "TRIAGE_INVALID")
    assert shell("findings", "list").code == 0


def test_a_list_goes_on_where_its_page_ended(shell: Shell) -> None:
    shell("findings", "import", str(SCAN), "-p", "shop")
    seen: list[str] = []
    after: list[str] = []
    while True:
        page = shell.json("list", "--limit", "1", *after)
        seen += [one["severity"] for one in page["findings"]]
        if page["next"] is None:
            break
        assert f"--after {page['next']}" in shell("findings", "list", "--limit", "1", *after).err
        after = ["--after", page["next"]]
    assert seen == ["medium", "unknown", "info"]


def test_two_runs_are_compared(shell: Shell) -> None:
    a, b, c = (("rule-a", "high", "x"), ("rule-b", "low", "x"), ("rule-c", "critical", "x"))
    first = shell.json("import", shell.scan("1", a, b), "-p", "shop", "--tool", "nuclei")["run_id"]
    second = shell.json("import", shell.scan("2", b, c), "-p", "shop", "--tool", "nuclei")["run_id"]
    third = shell.json("import", shell.scan("3", a), "-p", "shop", "--tool", "nuclei")["run_id"]
    found = shell.json("diff", first, second)
    assert found["counts"] == {"new": 1, "fixed": 1, "still": 1, "reappeared": 0}
    assert [(one["kind"], one["detector_id"]) for one in found["findings"]] == [
        ("new", "nuclei.rule-c"),
        ("fixed", "nuclei.rule-a"),
    ]
    assert shell.json("diff", second, third)["counts"] == {"new": 0, "fixed": 2, "still": 0, "reappeared": 1}
    assert "1 new, 1 fixed, 1 still, 0 reappeared" in shell("findings", "diff", first, second).out
    assert shell("findings", "diff", first, second, "--fail-on", "critical").code == 1
    assert shell("findings", "diff", second, third, "--fail-on", "critical").code == 0
    shell("findings", "triage", "--severity", "critical", "--set", "risk_accepted")
    assert shell("findings", "diff", first, second, "--fail-on", "critical").code == 0, "it is decided about"
    triage = shell.json("triage", "--severity", "low", "--set", "resolved")["run_id"]
    assert shell.refused("diff", first, triage) == (2, "RUN_WITHOUT_FINDINGS")


@pytest.mark.parametrize("form", ["sarif", "csv", "json", "html", "markdown"])
def test_a_report_is_written_in_each_format(shell: Shell, form: str) -> None:
    shell("findings", "import", str(SCAN), "-p", "shop")
    name = f"report.{'md' if form == 'markdown' else form}"
    told = shell.json("export", name)
    data = (shell.folder / name).read_bytes()
    assert (told["format"], told["bytes"]) == (form, len(data))
    text = data.decode()
    assert "Git configuration can be read" in text
    fewer = shell("findings", "export", "--format", form, "--severity", "medium").out
    assert "Git configuration can be read" in fewer
    assert "Technologies" not in fewer
    match form:
        case "sarif":
            document = json.loads(text)
            assert (document["version"], len(document["runs"][0]["results"])) == ("2.1.0", 3)
        case "csv":
            assert len([*csv.reader(io.StringIO(text))]) == 4
        case "json":
            assert len(json.loads(text)["findings"]) == 3
        case _:
            assert form in ("html", "markdown")


def test_a_report_is_of_what_is_listed_and_its_format_is_known(shell: Shell) -> None:
    shell("findings", "import", str(SCAN), "-p", "shop")
    shell("findings", "triage", "--severity", "medium", "--suppress", "known")
    count = {
        words: len(json.loads(shell("findings", "export", *words).out)["findings"])
        for words in ((), ("--status", "any"), ("--suppressed",))
    }
    assert count == {(): 2, ("--status", "any"): 3, ("--suppressed",): 1}
    for name in ("report.txt", "report"):
        ended = shell("findings", "export", name)
        assert (ended.code, "must end with one of: .sarif, .csv, .json" in ended.err) == (2, True)
        assert not (shell.folder / name).exists()
    assert shell("findings", "export", "report.txt", "--format", "csv").code == 0


def test_a_report_that_can_not_be_written_leaves_what_was_there(shell: Shell) -> None:
    shell("findings", "import", str(SCAN), "-p", "shop")
    (shell.folder / "report.json").write_text("older")
    assert shell.refused("export", "report.json", "-p", "none") == (2, "PROJECT_UNKNOWN")
    assert (shell.folder / "report.json").read_text() == "older"
    assert shell.refused("export", "none/report.json") == (2, "FILE_UNWRITABLE")


def test_an_import_is_taken_back(shell: Shell) -> None:
    shell("findings", "import", shell.scan("a", ("rule-a", "low", "x")), "-p", "shop")
    run = shell.json("import", str(SCAN), "-p", "shop")["run_id"]
    assert len(shell.listed()) == 4
    assert shell("undo", run).code == 0
    assert [one["detector_id"] for one in shell.listed()] == ["nuclei.rule-a"]
    assert len(shell.json("datasets")) == 1


def test_a_project_is_shown_before_it_is_removed_and_comes_back(shell: Shell) -> None:
    shell("findings", "import", str(SCAN), "-p", "shop")
    shown = shell("findings", "delete", "shop")
    assert "removes the project shop with 3 findings, 1 dataset" in shown.out
    assert "nothing was removed" in shown.err
    assert len(shell.listed()) == 3
    run = shell.json("delete", "shop", "--apply")
    assert run["status"] == "succeeded"
    assert shell.json("projects") == []
    assert shell("undo", run["run_id"]).code == 0
    assert [(one["name"], one["findings"], one["datasets"]) for one in shell.json("projects")] == [
        ("shop", 3, 1)
    ]


def test_nothing_is_old_that_came_today(shell: Shell) -> None:
    shell("findings", "import", str(SCAN), "-p", "shop")
    for words in ([], ["--apply"]):
        shown = shell("findings", "gc", "--findings-days", "1", "--runs-days", "1", *words)
        assert shown.out.startswith("removes 0 datasets of runs older than 1 day and 0 findings")
        assert (shown.code, "there is nothing to remove" in shown.err) == (0, True)
    assert len(shell.listed()) == 3
    assert len(shell.runs()) == 1, "nobody is asked to approve nothing"


def test_what_is_old_is_shown_and_removed_project_by_project(shell: Shell) -> None:
    """Each in a call of its own, so that a rule about a project is asked of it."""
    assert "there is no project yet" in shell("findings", "gc").err
    unnamed = "0B9D7C52-5D5E-4F6E-8F0A-6F0F3F1F2A11"
    for project in ("shop", "blog", unnamed):
        assert shell("findings", "import", str(SCAN), "-p", project).code == 0
    shown = shell("findings", "gc")
    assert [line for line in shown.out.splitlines() if line.startswith("removes")] == [
        "removes 0 datasets of runs older than 90 days and 0 findings not seen for 180 days from the project "
        + name
        for name in ("shop", "blog", unnamed.lower())
    ]
    shell.policy("{id: no, if: 'inputs.project == \"blog\"', decision: DENY, reason: test}", ALLOWED)
    ended = shell("findings", "gc", "--apply", "--json")
    called = [json.loads(line).get("status") for line in ended.out.splitlines()]
    assert called == [None, "failed", None], "where nothing is old nothing is called"
    assert ended.code == 3, ended
    assert shell("findings", "gc", "--apply", "-p", unnamed).code == 0


def test_a_command_takes_the_id_of_a_project_and_its_call_says_the_name(shell: Shell) -> None:
    shell("findings", "import", str(SCAN), "-p", "shop")
    (one,) = shell.json("projects")
    assert shell("findings", "import", str(SCAN), "-p", one["project_id"].upper()).code == 0
    run = shell.json("delete", one["project_id"], "--apply")
    assert run["status"] == "succeeded", run
    assert shell.json("projects") == []
    assert shell.refused("delete", one["project_id"]) == (2, "PROJECT_NAME_INVALID")


def test_an_import_that_waits_takes_what_was_handed_over_and_nothing_else(shell: Shell) -> None:
    """Also where the same file waits for two projects, and its name means another file by then."""
    shell.policy(ASKED, ALLOWED)
    path = Path(shell.scan("scan.jsonl", ("rule-a", "high", "x")))
    waiting = []
    for project in ("shop", "blog"):
        ended = shell("findings", "import", str(path), "-p", project, "--json")
        assert ended.code == 4, ended
        waiting.append(json.loads(ended.out)["run_id"])
    path.write_bytes(nuclei([("rule-b", "low", "y"), ("rule-c", "low", "y")]))
    for project, run in zip(("shop", "blog"), waiting, strict=True):
        (asked,) = (one for one in json.loads(shell("approvals", "--json").out) if one["run_id"] == run)
        assert "scan.jsonl" in asked["preview"]["diff"]
        ended = shell("approve", run, "--digest", asked["digest"], "--json")
        assert ended.code == 0, ended
        assert [one["detector_id"] for one in shell.listed("-p", project)] == ["nuclei.rule-a"]
    assert [*(shell.folder / ".assent" / "handed").iterdir()] == []


def test_an_approval_is_named_by_the_id_that_is_told_of_it(shell: Shell) -> None:
    shell.policy(ASKED, ALLOWED)
    for _ in range(2):
        assert shell("findings", "import", str(SCAN), "-p", "shop").code == 4
    first, second = json.loads(shell("approvals", "--json").out)
    ended = shell("approve", first["approval_id"], "--digest", first["digest"])
    assert ended.code == 0, ended
    assert "nuclei: 4 records, 1 medium, 1 unknown, 1 info" in ended.out
    assert "skipped 1: the template did not match" in ended.out
    assert first["digest"] not in ended.out
    assert shell("reject", second["approval_id"]).code == 0
    assert json.loads(shell("approvals", "--json").out) == []
    assert shell("approve", second["approval_id"], "--unseen").code == 2


def test_a_call_tells_what_a_file_came_to_as_an_import_does(shell: Shell) -> None:
    (shell.folder / "cut.jsonl").write_bytes(SCAN.read_bytes()[:900])
    (shell.folder / "paths.jsonl").write_bytes((GOLDEN / "katana-1.2.jsonl").read_bytes())
    cut, paths = (
        shell("call", "findings.import", "project=shop", f"path={name}.jsonl").out.splitlines()
        for name in ("cut", "paths")
    )
    assert cut[1:3] == [
        "  nuclei: 2 records, 1 medium, cut short by a fault",
        "  cut.jsonl into the project shop",
    ]
    assert cut[4].startswith("  broken at byte ")
    assert paths[1].startswith("  katana: ")
    assert paths[1].endswith(" resources")
    shell("findings", "triage", "--severity", "medium", "--set", "resolved", "--tag", "a", "--tag", "b")
    shown = shell("show", "@").out
    assert "decided about 1 finding" in shown
    removed = shell("call", "findings.gc", "project=shop").out
    assert "0 datasets and 0 findings removed\n  datasets of before " in removed


def test_what_was_never_handed_over_is_not_imported(shell: Shell) -> None:
    """Not by its digest, also where the record has those bytes."""
    raw = shell.json("import", str(SCAN), "-p", "shop")
    shown = json.loads(shell("findings", "prove", shell.listed()[0]["id"], "--json").out)
    digest = shown["record"]["raw_sha256"]
    inputs = {"project": "stolen", "handed": {"upload": "anothers", "blob": digest, "bytes": 1}}
    step = {"name": "take", "capability": "findings.import", "inputs": inputs}
    (shell.folder / "take.yaml").write_text(json.dumps({"name": "take", "steps": [step]}))
    ended = shell("run", "take.yaml", "--json")
    assert ended.code == 1, ended
    assert json.loads(ended.out)["error"]["code"] == "FILE_NOT_HANDED_OVER"
    assert [one["name"] for one in shell.json("projects")] == ["shop"]
    assert raw["fault"] is None


def test_an_import_whose_store_cannot_be_asked_is_told_by_its_run(shell: Shell) -> None:
    """It succeeded, and its own output says what it brought."""
    (shell.folder / ".assent").mkdir(mode=0o700)
    (shell.folder / ".assent" / "findings.db").mkdir()
    ended = shell("findings", "import", str(SCAN), "-p", "shop")
    assert (ended.code, "nuclei: 4 records, 1 medium" in ended.out) == (0, True), ended
    assert "this is what the run itself says, because findings can't be asked for" in ended.err
    ended = shell("findings", "import", str(SCAN), "-p", "shop", "--fail-on", "medium", "--json")
    assert (ended.code, json.loads(ended.out.splitlines()[-1])["status"]) == (1, "succeeded")
    assert "`--fail-on medium` found 1 medium" in ended.err
    cut = shell.folder / "cut.jsonl"
    cut.write_bytes(SCAN.read_bytes()[:-100])
    ended = shell("findings", "import", str(cut), "-p", "shop")
    assert (ended.code, "not all could be read" in ended.err) == (1, True), ended
