"""`assent resource`: a file becomes a version that never changes, is found by its reference, promoted, retired and taken back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from assent.cli import main

ONE = "res://project/shop/wordlist/words:1.0.0"
Say: TypeAlias = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(folder: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    def say(*words: str) -> tuple[int, str, str]:
        code = main([*words])
        told = capsys.readouterr()
        return code, told.out, told.err

    assert say("init")[0] == 0
    (folder / "words.txt").write_text("admin\nlogin\n")
    return say


def listed(say: Say, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(say("resource", "list", "--json", *words)[1])
    return found


def test_a_file_is_published_found_and_written_again(say: Say, folder: Path) -> None:
    assert json.loads(say("resource", "list", "--json")[1]) == []
    code, out, err = say("resource", "publish", ONE, "words.txt")
    assert (code, out.startswith("succeeded  resource.publish")) == (0, True)
    assert "to take it back: assent undo run_" in err
    (one,) = listed(say)
    assert [*one] == [
        "reference", "scope", "type", "name", "version", "sha256", "bytes", "published_at", "promoted_from", "retired_at",
        "uses", "used_at",
    ]  # fmt: skip
    assert (one["reference"], one["scope"], one["bytes"], one["uses"]) == (ONE, "project/shop", 12, 0)
    assert json.loads(say("resource", "show", ONE, "--json")[1]) == one
    assert f"{ONE}\n  size       12 bytes\n" in say("resource", "show", ONE)[1]
    assert "12 bytes  " in say("resource", "list")[1]
    meant = ("res://wordlist/words:latest", "--project", "shop")
    assert say("resource", "get", *meant)[1] == "admin\nlogin\n"
    code, out, _ = say("resource", "get", *meant, "-o", "copy.txt", "--json")
    assert (code, json.loads(out)) == (0, {"path": "copy.txt", "bytes": 12})
    assert (folder / "copy.txt").read_text() == "admin\nlogin\n"
    assert listed(say) == [one], "looking is counted as using"


def test_what_is_published_may_lie_outside_the_workspace(say: Say, folder: Path) -> None:
    """A person hands it over, with that person's rights; nothing of it stays among what was handed over."""
    (folder.parent / "own.txt").write_bytes(bytes(range(256)))
    assert say("resource", "publish", "res://global/payloads/odd:1", "../own.txt")[0] == 0
    assert [*(folder / ".assent/handed").iterdir()] == []
    assert say("resource", "get", "res://payloads/odd:1", "-o", "copy")[0] == 0
    assert (folder / "copy").read_bytes() == bytes(range(256))


def test_a_version_is_promoted_and_retired_and_both_are_undone(say: Say) -> None:
    say("resource", "publish", ONE, "words.txt")
    promote = ("resource", "promote", "res://wordlist/words:latest", "global", "--project", "shop")
    assert say(*promote)[0] == 0
    wide = listed(say, "--scope", "global")
    assert [(one["reference"], one["promoted_from"]) for one in wide] == [
        ("res://global/wordlist/words:1.0.0", ONE)
    ]
    assert say("resource", "retire", ONE)[0] == 0
    assert [one["scope"] for one in listed(say)] == ["global"]
    assert [one["scope"] for one in listed(say, "--retired", "--type", "wordlist", "--name", "words")] == [
        "project/shop",
        "global",
    ]
    assert "retired" in say("resource", "list", "--retired")[1]
    assert say("undo", "@", "--yes")[0] == 0
    assert [one["scope"] for one in listed(say)] == ["project/shop", "global"]


def test_a_version_that_was_used_is_not_taken_back(say: Say) -> None:
    run = json.loads(say("resource", "publish", ONE, "words.txt", "--json")[1])["run_id"]
    assert say("call", "resource.read", f"reference={ONE}")[0] == 0
    code, out, err = say("undo", run, "--yes")
    assert code == 5
    assert "COMPENSATION_CONFLICT" in out + err
    assert listed(say)[0]["uses"] == 1


WRONG = {
    "no reference": (("publish", "words", "words.txt"), 1, "RESOURCE_REFERENCE_INVALID"),
    "no scope": (("publish", "res://wordlist/words:1", "words.txt"), 1, "RESOURCE_REQUEST_INVALID"),
    "no file": (("publish", ONE, "nothing.txt"), 2, "FILE_MISSING"),
    "a folder": (("publish", ONE, "."), 2, "FILE_UNREADABLE"),
    "unknown": (("show", ONE), 2, "RESOURCE_NOT_FOUND"),
    "unknown content": (("get", ONE, "-o", "copy"), 2, "RESOURCE_NOT_FOUND"),
    "odd": (("show", "../../etc/passwd"), 2, "RESOURCE_REFERENCE_INVALID"),
    "no scope to list": (("list", "--scope", "shop"), 2, "RESOURCE_REFERENCE_INVALID"),
    "unknown to retire": (("retire", ONE), 1, "RESOURCE_NOT_FOUND"),
    "unknown to promote": (("promote", ONE, "global"), 1, "RESOURCE_NOT_FOUND"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_one_error_with_a_hint(say: Say, folder: Path, case: str) -> None:
    """A call that is refused has failed (1); what is only looked at was asked wrongly (2)."""
    words, expected, told = WRONG[case]
    code, out, _ = say("resource", *words, "--json")
    error = json.loads(out)["error"]
    assert (code, error["code"]) == (expected, told)
    assert error["hint"] or told.startswith("FILE_")
    assert not (folder / "copy").exists()
