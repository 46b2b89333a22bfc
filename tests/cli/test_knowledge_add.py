"""`assent knowledge add`: a folder becomes a repository in assent.toml, which stays a person's file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from assent.cli import main
from tests.support.knowledge_workers import shared_workers

Say: TypeAlias = Callable[..., tuple[int, str, str]]

FIRST = (
    "it is the first that is named: the whole workspace is no repository any more, and what was indexed of it"
    " is searched with `-r workspace` alone"
)
BEFORE = """# mine
[knowledge.labels."staff.only"]  # people
paths = [
  # whose folders these are
  "people/*",
]
roles = ["hr"]
"""


@pytest.fixture
def say(folder: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Say]:
    def say(*words: str) -> tuple[int, str, str]:
        code = main(["knowledge", *words])
        told = capsys.readouterr()
        return code, told.out, told.err

    for name in ("src/inner", "docs", "my docs"):
        (folder / name).mkdir(parents=True)
    (folder / "src" / "parser.py").write_text("def parse_quartz(text):\n    return text.split()\n")
    with shared_workers():
        yield say


def said(folder: Path) -> dict[str, Any]:  # `Any`: what TOML holds
    knowledge: dict[str, Any] = tomllib.loads((folder / "assent.toml").read_text())["knowledge"]
    return knowledge


def test_what_was_added_is_indexed(say: Say, folder: Path) -> None:
    code, out, err = say("add", "src")
    assert (code, out) == (0, f"`src` is the repository `src`: {folder / 'assent.toml'}\n")
    assert err.splitlines() == [
        FIRST,
        "to see what would be read: assent knowledge plan -r src",
        "to index it: assent knowledge index -r src",
    ]
    assert (folder / "assent.toml").read_text() == '[knowledge.repositories.src]\nfolder = "src"\n'
    assert json.loads(say("plan", "-r", "src", "--json")[1])["files"] == 1
    assert "src: 1 file in 1 chunk" in say("index", "-r", "src")[1]
    assert json.loads(say("add", "docs", "--name", "team/docs", "--json")[1]) == {
        "name": "team/docs",
        "folder": "docs",
        "labels": [],
        "replaces_whole": False,
        "path": str(folder / "assent.toml"),
    }
    assert '[knowledge.repositories."team/docs"]\n' in (folder / "assent.toml").read_text()


def test_the_whole_workspace_and_links_have_the_name_of_what_they_are(say: Say, folder: Path) -> None:
    (folder / "assent.toml").write_text("[limits]\nruns = 7\n")
    (folder / "shortcut").symlink_to("src")
    assert say("add", "shortcut")[0] == 0
    assert said(folder) == {"repositories": {"src": {"folder": "src"}}}
    (folder / "assent.toml").unlink()
    assert "no repository any more" not in say("add", ".", "--label", "all", "--role", "hr")[2]
    assert said(folder) == {
        "repositories": {"workspace": {"folder": "."}},
        "labels": {"all": {"paths": ["*"], "roles": ["hr"]}},
    }


def test_labels_hold_for_all_its_files_and_the_rest_of_the_file_stays(say: Say, folder: Path) -> None:
    path = folder / "assent.toml"
    path.write_text(BEFORE)
    words = ("add", "src", "--label", "staff.only", "--label", "draft", "--role", "author")
    assert "the label `staff.only`, with the label `draft`" in say(*words)[1]
    assert path.read_text() == BEFORE.replace("paths = [", 'paths = ["src/*", ') + (
        '\n[knowledge.repositories.src]\nfolder = "src"\n'
        '\n[knowledge.labels.draft]\npaths = ["src/*"]\nroles = ["author"]\n'
    )
    assert say("add", "docs", "--label", "draft", "--label", "draft")[0] == 0
    assert said(folder)["labels"]["draft"]["paths"] == ["docs/*", "src/*"]
    # Whose label stands there already, because somebody wrote it, has it no second time.
    path.write_text('[knowledge.labels.draft]\npaths = ["src/*"]\nroles = ["author"]\n')
    assert say("add", "src", "--label", "draft")[0] == 0
    assert said(folder)["labels"]["draft"]["paths"] == ["src/*"]


@pytest.mark.parametrize(
    ("words", "why", "hint"),
    [
        (["src"], "the folder `src` is already the repository `code`", "assent knowledge index -r code"),
        (
            ["src/inner"],
            "the folder `src/inner` is in the repository `code`",
            "assent knowledge index -r code",
        ),
        (["."], "the folder `.` holds the repository `code`", "take `[knowledge.repositories.code]` out"),
        (["docs", "--name", "code"], "would have the name of the repository `code`", "`--name NAME`"),
        ([".."], "is outside of the workspace", "have a workspace there"),
        (["docs/none"], "must be a folder that is there", "name another one"),
        (["assent.toml"], "must be a folder that is there", "what is indexed are folders"),
        ([".assent"], "is Assent's own", "name another folder"),
        (["my docs"], "`name` must be letters, digits and", "`--name NAME`"),
        (["docs", "--label", "staf", "--role", ""], "`roles` must be", ""),
        (["docs", "--label", "staf"], "there is no label `staf`", "did you mean `staff`?"),
        (["docs", "--label", "other"], "there is no label `other`", "`--role ROLE`"),
        (["docs", "--label", "a b", "--role", "x"], "`labels` must be letters", ""),
        (["docs", "--label", "staff", "--role", "x"], "`roles` are for a label that is new", ""),
        (["docs", "--role", "x"], "`roles` are for a label that is new", ""),
    ],
)
def test_what_can_not_be_added_is_told_in_one_error(
    say: Say, folder: Path, words: list[str], why: str, hint: str
) -> None:
    before = '[knowledge.repositories.code]\nfolder = "./src/"\n[knowledge.labels.staff]\npaths = ["x"]\nroles = ["hr"]\n'
    (folder / "assent.toml").write_text(before)
    (folder / ".assent").mkdir(mode=0o700)
    code, out, err = say("add", *words)
    assert (code, out, err.count("error:")) == (2, "", 1)
    assert why in err
    assert hint in err
    assert (folder / "assent.toml").read_text() == before


def test_a_folder_that_somebody_wrote_in_another_spelling_is_the_same(say: Say, folder: Path) -> None:
    (folder / "assent.toml").write_text('[knowledge.repositories.code]\nfolder = "./src/"\n')
    planned = json.loads(say("plan", "-r", "code", "--json")[1])
    assert (planned["folder"], planned["files"]) == ("src", 1)


def test_a_file_that_can_not_be_edited_safely_is_left_alone(say: Say, folder: Path) -> None:
    text = '[knowledge]\nlabels = { draft = { roles = ["hr"], paths = ["x"] } }\n'
    (folder / "assent.toml").write_text(text)
    code, _, err = say("add", "src", "--label", "draft")
    assert (code, "change `[knowledge]` there by hand" in err) == (2, True)
    assert (folder / "assent.toml").read_text() == text
    assert say("add", "src")[0] == 0


def test_what_is_no_repository_any_more_can_be_searched_by_name_until_it_is_forgotten(
    say: Say, folder: Path
) -> None:
    """Nobody indexes it any more: what it says of a file is not taken for what the file says now. `status` names it."""
    assert main(["init"]) == 0
    policy = folder / "policy.yaml"
    allow = "  - {id: forget, decision: ALLOW, without_approval: true, reason: test, when: {capability: knowledge.forget}}"
    policy.write_text(policy.read_text().replace("rules:", f"rules:\n{allow}", 1))
    assert say("index")[0] == 0
    assert say("add", "src")[0] == 0

    def names() -> list[str]:
        return [one["repository"] for one in json.loads(say("status", "--json")[1])["repositories"]]

    assert names() == ["src", "workspace"]
    _, out, err = say("search", "quartz")
    assert (out, "not indexed yet: src" in err) == ("", True)
    found = json.loads(say("search", "quartz", "-r", "workspace", "--json")[1])
    assert [one["path"] for one in found] == ["src/parser.py"]
    assert say("export", "-r", "workspace", "-o", "../all.jsonl")[0] == 0
    forget = ("forget", "-r", "workspace", "--json")
    (line,) = [one for one in say("status")[1].splitlines() if one.startswith("workspace is ")]
    assert line.endswith("; to remove it: assent knowledge forget . -r workspace")
    assert say(*forget, ".")[0] == 0
    assert names() == ["src"]
    assert (say("index")[0], len(json.loads(say("search", "quartz", "--json")[1]))) == (0, 1)
    code, out, err = say(*forget, "src/parser.py")
    assert (code, "KNOWLEDGE_REPOSITORY_UNKNOWN" in out + err) == (1, True), out + err
