"""Every example of the documentation is executed, page by page, in a workspace of its own.

```yaml NAME       the file NAME in the workspace
```console         commands after `$ `, then what they print: `…` stands for any text, `[exit code N]` for how it ends;
                   RUN and STEP stand for the run's id and step that were printed last, DIGEST likewise, and SEQ for the
                   number of the last `step.started` in a log
```python          a program on its own; ```python NAME also writes it, for commands that follow
```sh, ```text     what is to be read only: setting up needs a network, output is shown where it is explained
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import OWN, ROOT, Example, examples

KINDS = {"yaml", "toml", "console", "python", "sh", "text", "json", ""}


class Shell:
    """One reader's terminal: what was printed before fills in the placeholders of what is typed next."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.env = env
        self.known: dict[str, str] = {}

    def type(self, line: str) -> tuple[str, int]:
        for name, value in self.known.items():
            line = re.sub(rf"\b{name}\b", value, line)
        ended = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        patterns = {
            "RUN": r"\brun_[0-9a-z]{26}\b",
            "DIGEST": r"--digest ([0-9a-f]{12,64})",
            "PLAN": r"\bplan_[0-9a-z]{26}\b",
            "SEQ": r"(?m)^ *(\d+) .* step\.started ",
        }
        for name, pattern in patterns.items():
            for found in re.finditer(pattern, ended.stdout):
                self.known[name] = found[found.re.groups]
        return ended.stdout, ended.returncode


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block with the lines that are shown under it. A `\\` at the end joins lines."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        joined = part.replace("\\\n", "")
        line, _, shown = joined.partition("\n")
        yield line, [entry for entry in shown.splitlines() if entry.strip()]


def explain_difference(line: str, shown: list[str], output: str, code: int) -> str | None:
    """What differs between what the page shows and what happened; None when nothing does."""
    expected = [int(found[1]) for entry in shown if (found := re.fullmatch(r"\[exit code (\d+)\]", entry))]
    if code != (expected[0] if expected else 0):
        return f"`{line}` ended with {code}:\n{output}"
    printed = iter(output.splitlines())
    for entry in shown:
        if entry == "…" or entry.startswith("[exit code"):
            continue
        words = [re.escape(word) for word in entry.split()]
        pattern = re.compile(r"\s*" + r"\s+".join(words).replace("…", ".*") + r"\s*")
        if not any(pattern.fullmatch(candidate) for candidate in printed):
            return f"`{line}` does not print `{entry}`:\n{output}"
    return None


def play(page_examples: list[Example], folder: Path, env: dict[str, str]) -> list[str]:
    """Execute the examples in order; what each command and program printed."""
    shell = Shell(folder, env)
    printed = []
    for example in page_examples:
        if example.name:
            path = folder / example.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(example.text, encoding="utf-8")
            path.chmod(0o644)
        if example.kind == "console":
            for line, shown in commands(example.text):
                output, code = shell.type(line)
                assert explain_difference(line, shown, output, code) is None, explain_difference(
                    line, shown, output, code
                )
                printed.append(output)
        elif example.kind == "python" and not example.name:
            program = folder / "example.py"
            program.write_text(example.text, encoding="utf-8")
            output, code = shell.type("python example.py")
            assert code == 0, output
            told = re.findall(r"# -> (.+)$", example.text, re.MULTILINE)
            assert output.splitlines() == told
            program.unlink()
            printed.append(output)
    return printed


@pytest.mark.slow
@pytest.mark.parametrize("page", OWN, ids=lambda path: path.name)
def test_examples_do_what_the_page_shows(page: Path, tmp_path: Path, home: dict[str, str]) -> None:
    folder = tmp_path / "workspace"
    folder.mkdir()
    assert {example.kind for example in examples(page)} <= KINDS
    printed = play(examples(page), folder, home)
    assert bool(printed) == any(example.kind in ("console", "python") for example in examples(page))


@pytest.mark.parametrize("page", ["README.md", "docs/agents.md"])
def test_a_first_program_runs_on_its_own_in_a_new_folder(
    page: str, tmp_path: Path, home: dict[str, str]
) -> None:
    """Whoever copies it has not made what earlier sections of the page make."""
    program = next(one for one in examples(ROOT / page) if one.kind == "python" and not one.name)
    assert play([program], tmp_path, home)


def test_what_is_typed_first_of_knowledge_does_what_the_page_shows(
    tmp_path: Path, home: dict[str, str]
) -> None:
    """The rest of the page is about libraries, and tested with them."""
    every = [one for one in examples(ROOT / "docs" / "knowledge.md") if one.kind in ("console", "python")]
    assert [one.kind for one in every[:2]] == ["console", "python"]
    assert play(every[:2], tmp_path, home)


def test_an_example_that_lies_is_found(tmp_path: Path, home: dict[str, str]) -> None:
    """The judge of the examples is judged: another output, another exit code and a missing line are all found."""
    assert explain_difference("x", ["done  …", "[exit code 3]"], "done  in 3 s\n", 3) is None
    assert explain_difference("x", ["done  …"], "done  in 3 s\n", 3) is not None
    assert explain_difference("x", ["second", "first"], "first\nsecond\n", 0) is not None
    assert explain_difference("x", ["gone"], "here\n", 0) is not None
    with pytest.raises(AssertionError, match="does not print"):
        play([Example("console", "", "$ echo one\ntwo\n")], tmp_path, home)
    with pytest.raises(AssertionError):
        play([Example("python", "", "print(1)  # -> 2\n")], tmp_path, home)
