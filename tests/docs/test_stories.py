"""The folders of `examples/` do what their pages say: copied, typed by a new user, beside the service that they talk to.

Console blocks are executed as those of the documentation (`test_examples.py`). A service is started by the words of the page's
`sh` block, on a port that is free, and its `text` block is all that it printed.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from assent.sandbox import Sandbox
from tests.docs.pages import STORIES, examples
from tests.docs.test_examples import play
from tests.e2e.test_no_secret_leaks import cells, forms

CONFINED = {"build", "files", "repository", "secrets"}
"""Examples that run programs."""

FROM_NPM = {"files", "repository"}
"""Examples with a server of somebody else, as its page installs it. `make conformance` does so."""


def copied(page: Path, to: Path) -> Path:
    """The example's folder as a new user would have it, with modes that no mask of this machine has widened."""
    shutil.copytree(page.parent, to, ignore=shutil.ignore_patterns(".assent", "__pycache__"))
    for path in to.rglob("*"):
        path.chmod(path.stat().st_mode & ~0o022)
    return to


@contextmanager
def service(page: Path, folder: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str] | None]:
    """The service that the page starts in another terminal. Whatever names its port in the folder then names the one it has."""
    typed = next((example.text for example in examples(page) if example.kind == "sh"), "")
    port = re.search(r"\.py (\d+)", typed)
    if port is None:
        yield None
        return
    command = shlex.split(typed.replace(port[1], "0").replace("~", env["HOME"]))
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            own = process.stdout.readline().strip().rpartition(":")[2]
            for path in folder.rglob("*.*"):
                text = path.read_text(encoding="utf-8")
                path.write_text(text.replace(port[1], own), encoding="utf-8")
            yield process
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("page", STORIES, ids=lambda page: page.parent.name)
def test_an_example_does_what_its_page_shows(page: Path, tmp_path: Path, home: dict[str, str]) -> None:
    if page.parent.name in FROM_NPM and not (page.parent / "node_modules").is_dir():
        pytest.skip(f"what examples/{page.parent.name} needs from npm is not installed there")
    if page.parent.name in CONFINED:
        with Sandbox.detect() as sandbox:
            if not sandbox.holds.is_confined:
                pytest.skip("nothing on this machine confines programs")
    folder = copied(page, tmp_path / "workspace")
    with service(page, folder, home) as process:
        printed = play(examples(folder / "README.md"), folder, home)
        assert printed
        if process is not None:
            process.kill()
            assert process.stdout is not None
            told = [example.text for example in examples(page) if example.kind == "text"]
            patterns = [re.escape(line).replace("…", ".*") for line in "".join(told).splitlines()]
            assert re.fullmatch("\n".join(patterns) + "\n", process.stdout.read())
    values = [path.read_text().strip() for path in (tmp_path / "home/.config/assent/secrets").glob("*")]
    assert bool(values) == (page.parent.name == "secrets")
    assert [path for path in shown_in(values, printed, tmp_path) if path.parent.name != "secrets"] == []


def shown_in(values: list[str], printed: list[str], place: Path) -> list[Path]:
    """Files that hold any of the values in any form that a program may write it in; `printed` is looked through as well.

    Databases are read cell by cell: a page may cut a text in two.
    """
    wanted = [form.encode() for value in values for form in forms(value)]
    assert [form for form in wanted if form in "".join(printed).encode()] == []
    found = []
    for path in place.rglob("*"):
        if path.is_file():
            held = path.read_bytes() + (cells(path) if path.suffix == ".db" else b"")
            found += [path] * any(form in held for form in wanted)
    return found
