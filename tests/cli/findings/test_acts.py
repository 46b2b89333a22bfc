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

    def refused(self, *words: str) -> tuple[int, str]:
        """The code of a command that is refused, and that of its error."""
        ended = self("findings", *words, "--json")
        return ended.code, json.loads(ended.out.splitlines()[-1])["error"]["code"]

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
    found = shell.json("import", shell.scan("scan.jsonl", matter, matter, matter), "-p", "shop")
    assert (found["records"], found["findings"], found["new"], found["known"]) == (3, 3, 1, 0)


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
def test_a_pipeline_fails_on_what_is_as_bad_as_it_says(shell: Shell, least: str, code: int) -> None:
    assert shell("findings", "import", str(SCAN), "-p", "shop", "--fail-on", least).code == code
    assert shell("findings", "list", "--fail-on", least).code == code
    for one in shell.json("list"):
        assert shell("findings", "triage", one["id"], "--set", "risk_accepted").code == 0
    assert shell("findings", "list", "--fail-on", least).code == 0


def test_a_broken_file_gives_its_records_and_fails(shell: Shell) -> None:
    (shell.folder / "cut.jsonl").write_bytes(SCAN.read_bytes()[:900])
    ended = shell("findings", "import", "cut.jsonl", "-p", "shop", "--json")
    found = json.loads(ended.out.splitlines()[-1])
    assert (ended.code, found["findings"]) == (1, 1)
    assert found.keys() == TOLD
    fault = found["fault"]["error"]
    assert fault.keys() == {"code", "message", "path", "hint", "details"}
    assert (fault["code"], fault["path"]) == ("OUTPUT_BROKEN", f"cut.jsonl:{fault['details']['begin']}")
    assert len(shell.json("list")) == 1
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
        (["delete", "none", "--apply"], 1, "PROJECT_UNKNOWN"),
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
    listed = shell.json("list")
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
    assert [one["severity"] for one in shell.json("list")] == ["unknown", "info"]
    assert [
        one["id"]
        for one in shell.json("list", "--status", "false_positive", "--owner", "ann", "--tag", "web")
    ] == [first["id"]]
    assert "a test page" in shell("findings", "show", first["id"]).out
    shell("findings", "import", str(SCAN), "-p", "shop")
    assert len(shell.json("list")) == 2, "what was decided sticks to the finding"
    assert shell("undo", decided["run_id"]).code == 0
    assert len(shell.json("list")) == 3


def test_many_are_decided_about_by_what_they_have_in_common(shell: Shell) -> None:
    run = shell.json("import", str(SCAN), "-p", "shop")["run_id"]
    assert (
        shell.json("triage", "--run", run[:-2], "--severity", "info", "--suppress", "known")["status"]
        == "succeeded"
    )
    assert [one["severity"] for one in shell.json("list")] == ["medium", "unknown"]
    assert [one["severity"] for one in shell.json("list", "--suppressed")] == ["info"]
    assert [one["severity"] for one in shell.json("list", "--status", "any")] == ["medium", "unknown", "info"]
    stats = shell.json("stats")
    assert (stats["total"], stats["active"], stats["suppressed"]) == (3, 2, 1)
    shell("findings", "triage", "--tool", "nuclei", "--unsuppress")
    assert len(shell.json("list", "--run", run)) == 3


def test_a_decision_that_a_finding_has_no_room_for_is_refused_and_the_others_go_on(shell: Shell) -> None:
    shell("findings", "import", str(SCAN), "-p", "shop")
    many = [word for one in range(60) for word in ("--tag", f"a{one}")]
    assert shell("findings", "triage", "--severity", "medium", *many).code == 0
    more = [word.replace("a", "b") if word != "--tag" else word for word in many]
    refused = shell("findings", "triage", "--severity", "medium", *more)
    assert (refused.code, "TRIAGE_INVALID" in refused.out + refused.err) == (1, True)
    assert shell("findings", "list").code == 0


def test_a_list_goes_on_where_its_page_ended(shell: Shell) -> None:
    shell("findings", "import", str(SCAN), "-p", "shop")
    seen, words = [], ["findings", "list", "--limit", "1", "--json"]
    after: list[str] = []
    while True:
        ended = shell(*words, *after)
        seen += [one["severity"] for one in json.loads(ended.out)]
        if "--after" not in ended.err:
            break
        after = ["--after", ended.err.split("--after ")[1].strip()]
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


def test_a_report_that_can_not_be_written_leaves_what_was_there(shell: Shell) -> None:
    shell("findings", "import", str(SCAN), "-p", "shop")
    (shell.folder / "report.json").write_text("older")
    assert shell.refused("export", "report.json", "-p", "none") == (2, "PROJECT_UNKNOWN")
    assert (shell.folder / "report.json").read_text() == "older"
    assert shell.refused("export", "none/report.json") == (2, "FILE_UNWRITABLE")


def test_an_import_is_taken_back(shell: Shell) -> None:
    shell("findings", "import", shell.scan("a", ("rule-a", "low", "x")), "-p", "shop")
    run = shell.json("import", str(SCAN), "-p", "shop")["run_id"]
    assert len(shell.json("list")) == 4
    assert shell("undo", run).code == 0
    assert [one["detector_id"] for one in shell.json("list")] == ["nuclei.rule-a"]
    assert len(shell.json("datasets")) == 1


def test_a_project_is_shown_before_it_is_removed_and_comes_back(shell: Shell) -> None:
    shell("findings", "import", str(SCAN), "-p", "shop")
    shown = shell("findings", "delete", "shop")
    assert "removes the project shop with 3 findings, 1 dataset" in shown.out
    assert "nothing was removed" in shown.err
    assert len(shell.json("list")) == 3
    run = shell.json("delete", "shop", "--apply")
    assert run["status"] == "succeeded"
    assert shell.json("projects") == []
    assert shell("undo", run["run_id"]).code == 0
    assert [(one["name"], one["findings"], one["datasets"]) for one in shell.json("projects")] == [
        ("shop", 3, 1)
    ]


def test_nothing_is_old_that_came_today(shell: Shell) -> None:
    shell("findings", "import", str(SCAN), "-p", "shop")
    shown = shell("findings", "gc", "--findings-days", "1", "--runs-days", "1")
    assert shown.out.startswith("removes 0 datasets of runs older than 1 day and 0 findings")
    run = shell.json("gc", "--findings-days", "1", "--runs-days", "1", "--apply")
    assert run["status"] == "succeeded"
    assert len(shell.json("list")) == 3


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
    assert [json.loads(line)["status"] for line in ended.out.splitlines()] == [
        "succeeded",
        "failed",
        "succeeded",
    ]
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
        assert [one["detector_id"] for one in shell.json("list", "-p", project)] == ["nuclei.rule-a"]
    assert [*(shell.folder / ".assent" / "handed").iterdir()] == []


def test_what_was_never_handed_over_is_not_imported(shell: Shell) -> None:
    """Not by its digest, also where the record has those bytes."""
    raw = shell.json("import", str(SCAN), "-p", "shop")
    shown = json.loads(shell("findings", "prove", shell.json("list")[0]["id"], "--json").out)
    digest = shown["record"]["raw_sha256"]
    inputs = {"project": "stolen", "handed": {"upload": "anothers", "blob": digest, "bytes": 1}}
    step = {"name": "take", "capability": "findings.import", "inputs": inputs}
    (shell.folder / "take.yaml").write_text(json.dumps({"name": "take", "steps": [step]}))
    ended = shell("run", "take.yaml", "--json")
    assert ended.code == 1, ended
    assert json.loads(ended.out)["error"]["code"] == "FILE_NOT_HANDED_OVER"
    assert [one["name"] for one in shell.json("projects")] == ["shop"]
    assert raw["fault"] is None
