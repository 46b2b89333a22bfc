"""The commands that govern versions: what they ask of the owner, what they print, and what the real runtime answers."""

from __future__ import annotations

import pytest

from assent.errors import InputError
from assent.spec.values.json_fields import objects
from tests.support.door import ScriptedRuntime, Terminal, failing
from tests.support.plugins import interpreter_kept

ID = "io.fs.write_file"


@pytest.fixture
def real(terminal: Terminal) -> Terminal:
    """A terminal on the real runtime."""
    terminal.runtime = None
    return terminal


def test_a_label_is_put_moved_shown_used_and_taken_away(real: Terminal) -> None:
    """From the first command to the last, each answer is one object of its documented shape."""
    answer = real("capability", "label", f"{ID}@^1", "stable", "--json")
    wanted = {"capability": ID, "label": "stable", "version": "1.0.0", "before": None, "how": "range"}
    assert (answer.code, answer.object) == (0, wanted)
    assert real("capability", "label", ID, "stable").out == f"`stable` names {ID}@1.0.0\n"
    shown = real("capability", "show", f"{ID}@stable", "--json").object
    assert shown["how"] == "label"
    standing = shown["standing"]
    assert isinstance(standing, dict)
    assert set(standing) == {"state", "latest", "labels", "created_at", "created_at_ms"}
    assert (standing["state"], standing["latest"], standing["labels"]) == ("installed", True, ["stable"])
    assert "found by label" in real("capability", "show", f"{ID}@stable").out
    assert real("call", f"{ID}@stable", "path=a.txt", "content=x", "--json").object["status"] == "succeeded"
    gone = real("capability", "unlabel", ID, "stable", "--json")
    assert (gone.code, gone.object) == (0, {"capability": ID, "label": "stable", "removed": True})
    again = real("capability", "unlabel", ID, "stable", "--json")
    assert (again.code, again.object["removed"]) == (0, False)
    assert real("capability", "unlabel", ID, "stable").out == f"{ID} had no label `stable`\n"
    missing = real("call", f"{ID}@stable", "path=a.txt", "content=x", "--json")
    assert (missing.code, missing.error["code"]) == (2, "VERSION_NOT_FOUND")


def test_the_history_tells_versions_and_labels(real: Terminal) -> None:
    before = real("capability", "history", ID, "--json").object
    versions = before["versions"]
    assert isinstance(versions, list)
    (version,) = versions
    assert isinstance(version, dict)
    assert (version["version"], version["state"]) == ("1.0.0", "installed")
    assert before["labels"] == []
    real("capability", "label", ID, "stable")
    real("capability", "unlabel", ID, "stable")
    after = real("capability", "history", ID, "--json").object
    labels = after["labels"]
    assert isinstance(labels, list)
    assert [change["version"] for change in labels if isinstance(change, dict)] == [None, "1.0.0"]
    assert "(removed)" in real("capability", "history", ID).out


def test_a_removed_command_names_what_replaces_it(real: Terminal) -> None:
    """Whatever it was given; and it is not shown among the others."""
    for words in ((ID, "1.0.0=80"), (ID, "--end"), ()):
        answer = real("capability", "activate", *words, "--json")
        assert (answer.code, answer.error["code"]) == (2, "COMMAND_REMOVED")
        assert "assent capability label" in str(answer.error["hint"])
    assert "activate" not in real("capability", "--help").out


def test_what_is_refused_exits_with_2_and_changes_nothing(real: Terminal) -> None:
    for words, code in (
        (("label", f"{ID}@2.0.0", "stable"), "VERSION_NOT_FOUND"),
        (("label", ID, "latest"), "LABEL_INVALID"),
        (("label", f"{ID}@v1.0.0", "stable"), "INVALID_VERSION"),
        (("unlabel", "no.such", "stable"), "CAPABILITY_UNKNOWN"),
        (("retire", f"{ID}@1.0.0"), "VERSION_NEWEST"),
        (("retire", ID, "--dry-run"), "VERSION_NEWEST"),
        (("history", "no.such"), "CAPABILITY_UNKNOWN"),
        (("show", f"{ID}@^2"), "VERSION_NOT_FOUND"),
    ):
        answer = real("capability", *words, "--json")
        assert (answer.code, answer.error["code"]) == (2, code), words
    data = real("capability", "history", ID, "--json").object
    assert data["labels"] == []


def test_a_workflow_asks_for_versions_in_every_way(real: Terminal) -> None:
    """Labels and moments are looked up before anything is started; what means nothing is shown where it stands in the file."""
    real("capability", "label", ID, "stable")
    steps = [f"{ID}@stable", f"{ID}@>=1 <2", f"{ID}@2099-01-01", f"{ID}@4102444800", ID]
    lines = [
        f'  - {{name: s{n}, capability: "{ref}", inputs: {{path: a{n}.txt, content: x}}}}'
        for n, ref in enumerate(steps)
    ]
    real.write("w.yaml", "name: w\nsteps:\n" + "\n".join(lines) + "\n")
    planned = real("plan", "w.yaml", "--json")
    assert planned.code == 0, planned.out
    assert real("run", "w.yaml", "--json").object["status"] == "succeeded"
    for reference, code in (("@stabel", "VERSION_NOT_FOUND"), ("@1.2.3.4", "INVALID_VERSION")):
        real.write("bad.yaml", f'name: w\nsteps:\n  - {{name: a, capability: "{ID}{reference}"}}\n')
        answer = real("run", "bad.yaml", "--json")
        assert (answer.code, answer.error["code"]) == (2, code)
        assert str(answer.error["path"]).startswith("bad.yaml:3:")


TWO_VERSIONS = '''\
"""Counts words."""

from assent import capability


@capability("w.count", operation="READ", risk="LOW")
def count(text: str) -> int:
    return len(text.split())


@capability("w.count", operation="READ", risk="LOW", version="1.1.0")
def count_in(text: str, lang: str = "en") -> int:
    return len(text.split())
'''


def test_a_caller_pinned_to_a_retired_version_is_served_from_the_command_line(real: Terminal) -> None:
    """With the parameters of the version that it names."""
    real.write("assent.toml", '[plugins]\npaths = ["w.py"]\n')
    real.write("w.py", TWO_VERSIONS)
    with interpreter_kept():
        digest = str(real("plugin", "inspect", "w.py", "--json").object["fingerprint"])
        assert real("plugin", "trust", "w", "--digest", digest).code == 0
        assert "w.count, w.count" not in real("plugin", "list").out
        assert real("call", "w.count", "text=a").code == 0
        assert real("capability", "retire", "w.count@1.0.0").code == 0
        served = real("call", "w.count@1.0.0", "text=a b", "--json")
        assert served.code == 0, served.out
        step = objects(served.object, "steps")[0]
        assert (step["version"], step["asked_version"], step["output"]) == ("1.1.0", "1.0.0", 2)
        assert real("call", "w.count@1.0.0", "text=a", "lang=de", "--json").error["code"] == "INPUT_UNKNOWN"


def test_a_call_that_failed_before_it_began_is_headed_by_its_capability(real: Terminal) -> None:
    failed = real("call", "io.fs.copy", "source=absent", "destination=b")
    assert failed.code == 1
    assert failed.out.startswith("failed  io.fs.copy  run_")


def test_what_was_changed_is_told_in_one_line(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    runtime.answers["label"] = {
        "capability": ID,
        "label": "s",
        "version": "2.0.0",
        "before": "1.0.0",
        "how": "exact",
    }
    assert (
        terminal("capability", "label", f"{ID}@2.0.0", "s").out == f"`s` names {ID}@2.0.0, no longer 1.0.0\n"
    )
    runtime.answers["unlabel"] = {"capability": ID, "label": "s", "removed": True}
    assert terminal("capability", "unlabel", ID, "s").out == f"`s` is not a label of {ID} any more\n"
    runtime.answers["retire"] = {"capability": ID, "version": "1.0.0", "retired": True}
    assert terminal("capability", "retire", f"{ID}@1.0.0").out == f"{ID}@1.0.0 is retired\n"
    assert (
        terminal("capability", "retire", f"{ID}@1.0.0", "--dry-run").out == f"{ID}@1.0.0 could be retired\n"
    )
    assert terminal("capability", "retire", f"{ID}@1.0.0", "--json").object["retired"] is True
    asked = runtime.requests[-1]
    assert (asked["op"], asked["reference"], asked["dry_run"]) == ("retire", f"{ID}@1.0.0", False)


def test_a_refusal_of_the_owner_is_told_as_it_came(terminal: Terminal) -> None:
    terminal.runtime = failing(InputError("VERSION_IN_USE", "a run uses it", details={"runs": ["run_1"]}))
    answer = terminal("capability", "retire", f"{ID}@1.0.0", "--json")
    assert (answer.code, answer.error["code"]) == (2, "VERSION_IN_USE")
