"""`assent key`: what is shown once, and what a list tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assent.cli import main


@pytest.fixture
def said(folder: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    (folder / "assent.toml").write_text("[identity.services.ci]\n")

    def say(*words: str) -> tuple[int, str, str]:
        code = main(["key", *words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return say


def test_a_key_is_shown_once_with_its_id(said: Any) -> None:
    code, out, err = said(
        "create", "nightly", "--for", "service:ci", "--scope", "read,call", "--expires", "90d", "--json"
    )
    key = json.loads(out)
    assert (code, [*key], err) == (0, ["key", "id"], "")
    assert key["key"].startswith(f"{key['id']}_")
    (one,) = json.loads(said("list", "--json")[1])
    assert (one["id"], one["name"], one["principal"]) == (key["id"], "nightly", "service:ci")
    assert (one["scopes"], one["status"], one["expires_at"] is None) == (["call", "read"], "active", False)
    assert key["key"] not in json.dumps(one)
    assert said("revoke", key["id"])[0] == 0
    assert json.loads(said("list", "--json")[1])[0]["status"] == "revoked"


WRONG = {
    "no scope": (("create", "a", "--scope", "all"), 2, "USAGE_INVALID"),
    "no time": (("create", "a", "--expires", "soon"), 2, "USAGE_INVALID"),
    "no principal": (("create", "a", "--for", "ci"), 2, "INVALID_INPUT"),
    "no key": (("revoke", "ak_aaaaaaaaaaaaaaaa"), 1, "KEY_UNKNOWN"),
    "no id": (("revoke", "../../etc/passwd"), 2, "INVALID_INPUT"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_can_t_be_made_or_revoked_shows_no_key(said: Any, case: str) -> None:
    words, expected, told = WRONG[case]
    code, out, _ = said(*words, "--json")
    assert (code, json.loads(out)["error"]["code"]) == (expected, told)
    assert '"key"' not in out


def test_who_is_in_no_configuration_is_warned_of(said: Any) -> None:
    code, out, err = said("create", "a", "--for", "user:who")
    assert (code, out.startswith("ak_")) == (0, True)
    assert "warning: `user:who` is not in the configuration" in err
