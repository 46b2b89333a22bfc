"""A plugin's files are read once, all of them, and only plain files make a plugin."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from assent.plugins.source import _code
from assent.plugins.source._code import PluginCode
from tests.support.plugins import refused, write


def test_every_file_of_a_package_is_pinned_but_bytecode(tmp_path: Path) -> None:
    """Data counts as well, because a plugin may run what it reads; `__pycache__` is never used."""
    root = write(
        tmp_path,
        {
            "notes/__init__.py": "X = 1\n",
            "notes/inner/__init__.py": "",
            "notes/words.txt": "words",
            "notes/__pycache__/__init__.cpython-311.pyc": b"\0",
            "notes/planted.pyc": b"\0",
        },
    )
    code = PluginCode.read([root / "notes"])
    assert sorted(code.files) == [
        "notes/__init__.py",
        "notes/inner/__init__.py",
        "notes/planted.pyc",
        "notes/words.txt",
    ]
    assert code.digests["notes/__init__.py"] == hashlib.sha256(b"X = 1\n").hexdigest()
    assert code.tops == {"notes"}
    assert code.place("notes/words.txt") == str(root / "notes" / "words.txt")


def test_a_single_file_is_a_plugin(tmp_path: Path) -> None:
    write(tmp_path, {"notes.py": "X = 1\n"})
    code = PluginCode.read([tmp_path / "notes.py"])
    assert code.files == {"notes.py": b"X = 1\n"}
    assert code.tops == {"notes"}


def test_links_and_other_things_are_refused_all_together(tmp_path: Path) -> None:
    root = write(tmp_path, {"notes/__init__.py": "", "outside.py": "", "folder/x.py": ""})
    (root / "notes" / "linked.py").symlink_to(root / "outside.py")
    (root / "notes" / "linked").symlink_to(root / "folder")
    (root / "notes" / "loop").symlink_to(root / "notes" / "loop")
    os.mkfifo(root / "notes" / "pipe.py")
    error = refused(lambda: PluginCode.read([root / "notes"]))
    assert error.code == "PLUGIN_INVALID"
    faults = error.details["faults"]
    assert isinstance(faults, list)
    text = "\n".join(map(str, faults))
    assert "linked.py` is a link" in text
    assert "linked` is a link" in text
    assert "loop` is a link" in text
    assert "pipe.py` is not a plain file" in text
    assert "(and 3 more)" in error.message


def test_a_root_that_is_a_link_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"real.py": ""})
    (tmp_path / "notes.py").symlink_to(tmp_path / "real.py")
    assert "is a link" in refused(lambda: PluginCode.read([tmp_path / "notes.py"])).message


def test_a_file_that_is_not_there_or_has_no_plain_name_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"notes/__init__.py": "", "notes/a\nb.py": ""})
    assert "not plain text" in refused(lambda: PluginCode.read([tmp_path / "notes"])).message
    assert "no such file" in refused(lambda: PluginCode.read([tmp_path / "absent"])).message


@pytest.mark.parametrize("limit", ["FILES_MAX", "FILE_BYTES_MAX", "TOTAL_BYTES_MAX", "DEPTH_MAX"])
def test_every_limit_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    write(tmp_path, {"notes/__init__.py": "12345", "notes/more/__init__.py": "12345"})
    monkeypatch.setattr(_code, limit, 1)
    assert refused(lambda: PluginCode.read([tmp_path / "notes"])).code == "PLUGIN_INVALID"
