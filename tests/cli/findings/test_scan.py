"""`assent scan`, as it is typed, in the workspace of the example."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from assent.cli.scans._outcome import Adding
from assent.cli.terminal._output import Output
from assent.errors import Json
from assent.sandbox import Sandbox
from tests.cli.findings.test_acts import ALLOWED, Shell
from tests.support.nursery import Nursery
from tests.support.own_places import own_places


@pytest.fixture
def scans(
    tmp_path: Path, repository: Path, measured_env: dict[str, str], nursery: Nursery
) -> Iterator[Shell]:
    folder = tmp_path / "scans"
    shutil.copytree(repository / "examples/scans", folder)
    with own_places(tmp_path, measured_env) as env:
        found = Shell(folder, env, nursery)
        found.policy(ALLOWED)
        yield found


def test_scanners_are_listed_and_one_is_shown(scans: Shell) -> None:
    listed = {one["tool"]: one for one in json.loads(scans("scan", "tools", "--json").out)}
    assert {"hello", "nmap"} <= {*listed}
    assert "hello" in scans("scan", "tools").out
    assert "nmap" in scans("scan", "tools", "nmap").out
    assert scans("scan", "tools", "nmaq").code != 0


def test_a_scan_by_command_brings_findings(scans: Shell) -> None:
    with Sandbox.detect() as sandbox:
        if not sandbox.holds.is_confined:
            pytest.skip("nothing on this machine confines programs")
    ended = scans("scan", "run", "hello", "src", "--project", "shop")
    assert ended.code == 0, ended
    assert scans.listed()
    assert scans("scan", "run", "hello", "none-such", "--project", "shop").code != 0


@pytest.fixture
def confined() -> None:
    with Sandbox.detect() as sandbox:
        if not sandbox.holds.is_confined:
            pytest.skip("nothing on this machine confines programs")


def test_a_scan_tells_all_that_was_found_and_what_is_new_about_it(scans: Shell, confined: None) -> None:
    hello = scans.folder / "bin/hello"
    hello.write_text(hello.read_text().replace('"file"', '"extra": 1, "file"'))
    ended = scans("scan", "run", "hello", "src", "-p", "shop")
    assert ended.code == 0, ended
    assert "hello src: 1 record: 1 finding, 0 resources, 0 skipped" in ended.err
    assert "fields not known to this release: extra" in ended.err
    assert "assent findings list --project shop" in ended.err
    parser = scans.folder / "parsers/hello.toml"
    parser.write_text(parser.read_text().replace("[[records]]", '[[records]]\nbecomes = "resource"'))
    found = scans("scan", "run", "hello", "src", "-p", "shop")
    assert "hello src: 1 record: 0 findings, 1 resource, 0 skipped" in found.err
    assert "assent findings discovered --project shop" in found.err
    assert "1 record: no findings, 1 resource" in found.err


def test_an_output_that_nobody_can_read_fails_the_scan(scans: Shell, confined: None) -> None:
    hello = scans.folder / "bin/hello"
    hello.write_text(hello.read_text().replace('"file"', '"flie"'))
    ended = scans("scan", "run", "hello", "src", "-p", "shop")
    assert ended.code == 1
    assert "none of 1 record could be read" in ended.err


def test_a_scanner_whose_parser_is_not_there_or_is_broken_is_told(scans: Shell, confined: None) -> None:
    parser = scans.folder / "parsers/hello.toml"
    parser.write_text(parser.read_text().replace("record =", "recrod ="))
    (one,) = json.loads(scans("scan", "tools", "hello", "--json").out)
    assert (one["status"], one["error"]["code"]) == ("invalid", "TOOL_MANIFEST_INVALID")
    assert one["error"]["path"].startswith("parsers/hello.toml:")
    shown = scans("scan", "tools", "hello").out
    assert "did you mean `record`?" in shown
    assert "parsers/hello.toml:" in shown
    parser.unlink()
    (one,) = json.loads(scans("scan", "tools", "hello", "--json").out)
    assert (one["status"], one["error"]["code"]) == ("invalid", "SCANNER_INVALID")
    assert scans("scan", "run", "hello", "src", "-p", "shop").code == 2


def test_a_scanner_with_a_parser_of_its_own_is_tested_with_it(scans: Shell, confined: None) -> None:
    manifest = scans.folder / "scanners/hello.toml"
    manifest.write_text(
        manifest.read_text()
        + '\n[self_test]\ntarget = "."\n[self_test.files]\n"one.py" = "print(\'hello\')"\n'
    )
    (one,) = json.loads(scans("scan", "tools", "hello", "--test", "--json").out)
    assert one["self_test"] == "passed"
    assert scans("scan", "tools", "--test").code == 2


BANDIT = """\
#!/bin/sh
if [ "$1" = --version ]; then echo "bandit 1.9.4"; exit; fi
while [ $# -gt 1 ]; do if [ "$1" = -o ]; then out=$2; fi; shift; done
echo '{"errors": [], "generated_at": "", "metrics": {}, "results": [{"filename": "src/one.py", "line_number": 1,
 "issue_severity": "HIGH", "issue_confidence": "HIGH", "issue_text": "bad", "test_id": "B602", "test_name": "shell"}]}' > "$out"
exit 1
"""


SECRETS = """\
#!/bin/sh
if [ "$1" = --version ]; then echo "1.5.0"; exit; fi
echo '{"version": "1.5.0", "plugins_used": [], "filters_used": [], "results": {"src/one.py": [{"type": "Secret Keyword",
 "filename": "src/one.py", "hashed_secret": "0000000000000000000000000000000000000000", "is_verified": false,
 "line_number": 1}]}, "generated_at": "2026-11-03T10:00:00Z"}'
"""


def test_a_recipe_tells_what_its_scanners_found_together(scans: Shell, confined: None) -> None:
    for name, text in (("bandit", BANDIT), ("detect-secrets", SECRETS)):
        (scans.folder / "bin" / name).write_text(text)
        (scans.folder / "bin" / name).chmod(0o755)
    ended = scans("scan", "code", "src", "-p", "shop")
    assert ended.code == 0, ended
    (together,) = re.findall(r"^together: (.*)$", ended.err, re.MULTILINE)
    assert together == "2 high"
    (so_far,) = re.findall(r"^ *found so far +(.*)$", ended.err, re.MULTILINE)
    assert so_far == together
    assert ended.err.index("found so far") < ended.err.index("findings.report")


def test_what_scanners_have_found_so_far_is_told_as_long_as_it_is_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing but the last line of a scan counts, and nothing is added up once such a line was left out."""

    def tell(adding: Adding, step: str, *lines: str | None, capability: str = "scan.active") -> str:
        events: list[dict[str, Json]] = [{"kind": "step.started", "capability": capability}]
        events += [{"kind": "step.said", "line": line} for line in lines]
        events.append({"kind": "step.succeeded"})
        for event in events:
            adding({"event": {**event, "step": step}})
        told = re.findall(r"found so far +(.*)", capsys.readouterr().err)
        return ", ".join(told)

    out = Output({})
    adding = Adding(out, of_a_call=False)
    assert tell(adding, "one", "9 records: 9 high", "3 records: 1 high, 2 low") == ""
    assert tell(adding, "other", "1 record: 1 high", capability="findings.report") == ""
    assert tell(adding, "two", "1 record: 1 low, 1 resource") == "1 high, 3 low"
    assert tell(adding, "three") == "1 high, 3 low"
    out.is_json = True
    assert tell(adding, "four", "1 record: 1 critical") == ""
    out.is_json = False
    assert tell(adding, "five", "1 record: 1 high", None) == ""
    assert tell(adding, "six", "1 record: 1 high") == ""


def test_a_recipe_runs_what_is_here_and_fails_on_what_is_bad(scans: Shell, confined: None) -> None:
    """What is not here is left out with a word; what was asked for and is not here is an error."""
    bandit = scans.folder / "bin/bandit"
    bandit.write_text(BANDIT)
    bandit.chmod(0o755)
    ended = scans("scan", "code", "src", "-p", "shop", "--report", "out/code.sarif")
    assert ended.code == 0, ended
    assert "left out: semgrep: it needs rules of your own" in ended.err
    assert "bandit src: 1 record: 1 finding" in ended.err
    # Before all of it has ended: what a scanner found is told by severity when its output was read.
    assert 0 < ended.err.index("1 record: 1 high") < ended.err.index("findings.report")
    assert (scans.folder / "out/code.sarif").exists()
    failed = scans("scan", "code", "src", "-p", "shop", "--tool", "bandit", "--fail-on", "high")
    assert (failed.code, "`--fail-on high` found 1 high in this run" in failed.err) == (1, True)
    (scans.folder / "bin/detect-secrets").write_text("#!/bin/sh\necho other\n")
    (scans.folder / "bin/detect-secrets").chmod(0o755)
    wrong = scans("scan", "code", "src", "-p", "shop", "--tool", "detect-secrets", "--json")
    assert (wrong.code, json.loads(wrong.out)["error"]["code"]) == (2, "SCANNER_WRONG")
    words = ("scan", "run", "bandit", "src", "-p", "shop", "--option", "severity=high")
    one = scans(*words, "--quiet")
    assert (one.code, one.err) == (0, "")
    assert scans(*words, "--fail-on", "critical").code == 0
    failed = scans(*words, "--fail-on", "high")
    assert (failed.code, "`--fail-on high` found 1 high in this run" in failed.err) == (1, True)
    bandit.unlink()
    (scans.folder / "bin/detect-secrets").unlink()


def test_a_scan_whose_store_can_not_be_asked_is_told_by_its_run(scans: Shell, confined: None) -> None:
    """It succeeded, and its own output says what it found."""
    bandit = scans.folder / "bin/bandit"
    bandit.write_text(BANDIT)
    bandit.chmod(0o755)
    (scans.folder / ".assent").mkdir(mode=0o700, exist_ok=True)
    (scans.folder / ".assent/findings.db").mkdir()
    words = ("scan", "run", "bandit", "src", "-p", "shop")
    ended = scans(*words)
    assert (ended.code, "because findings can't be asked for" in ended.err) == (0, True), ended
    ended = scans(*words, "--fail-on", "high", "--json")
    assert (ended.code, json.loads(ended.out)["status"]) == (1, "succeeded"), ended
    assert "`--fail-on high` found 1 high in this run" in ended.err
    bandit.write_text(BANDIT.replace("}]}' >", "}' >"))
    ended = scans(*words)
    assert (ended.code, "not all could be read" in ended.err) == (1, True), ended
    ended = scans("scan", "run", "bandit", "none-such", "-p", "shop")
    assert (ended.code, "is gone" in ended.err) == (1, False), ended


def test_scanners_that_can_not_be_used_are_listed_with_why(scans: Shell) -> None:
    (scans.folder / "scanners/folder.toml").mkdir()
    (scans.folder / "scanners/large.toml").write_bytes(b"#" * (65 << 10))
    (scans.folder / "scanners/other.toml").write_text((scans.folder / "scanners/hello.toml").read_text())
    (scans.folder / "scanners/typo.toml").write_text("knid = 1\n")
    listed = scans("scan", "tools").out
    for why in (
        "can't be read: is a directory",
        "has more than 65536 bytes",
        "calls itself `hello`",
        "`knid`",
    ):
        assert why in listed
    refused = scans("scan", "run", "typo", "src", "-p", "shop", "--json")
    assert json.loads(refused.out)["error"]["path"].endswith("typo.toml:1:1")


@pytest.mark.parametrize("report", ["../x.sarif", "/tmp/x.sarif", ".", "src"])
def test_a_report_that_can_not_be_written_is_refused_before_anything_is_scanned(
    scans: Shell, report: str
) -> None:
    ended = scans("scan", "code", "src", "-p", "shop", "--report", report)
    assert ended.code == 2
    assert "--report" in ended.err
    assert "left out" not in ended.err


@pytest.mark.parametrize("host", ["127.0.0.1:9", "[::1]:9", "[::1]"])
def test_a_recipe_names_the_host_of_its_url_as_scanners_take_it(
    scans: Shell, confined: None, host: str
) -> None:
    """It is out of the scope here, so what is refused is the place and not its form."""
    toml = scans.folder / "assent.toml"
    toml.write_text(toml.read_text() + '[scan.scope]\nnetworks = ["192.0.2.0/24"]\n')
    nmap = scans.folder / "bin/nmap"
    nmap.write_text("#!/bin/sh\necho 'Nmap version 7.93'\n")
    nmap.chmod(0o755)
    ended = scans("scan", "web", f"http://{host}/", "-p", "shop", "--tool", "nmap")
    address = host.removesuffix(":9").strip("[]")
    assert (ended.code, f"`{address}` is not in the scope" in ended.out + ended.err) == (1, True)


def test_options_and_targets_that_can_not_be_are_told(scans: Shell) -> None:
    assert "NAME=VALUE, not `deep`" in scans("scan", "run", "hello", "src", "-p", "s", "--option", "deep").err
    assert "is not a URL" in scans("scan", "web", "shop", "-p", "s").err
    assert "is not a URL" in scans("scan", "web", "http://[x/", "-p", "s").err
    left = scans("scan", "web", "http://127.0.0.1:9/", "-p", "s", "--tool", "ffuf")
    assert (left.code, "`--wordlist PATH`" in left.err) == (2, True)
    assert (
        "did you mean `nmap`?" in scans("scan", "web", "http://127.0.0.1:9/", "-p", "s", "--tool", "nmpa").err
    )


def test_a_scan_of_code_says_what_is_wrong_with_its_words(scans: Shell) -> None:
    ended = scans("scan", "code", "src", "-p", "shop", "--tool", "none-such")
    assert ended.code != 0
    assert "none-such" in ended.err
