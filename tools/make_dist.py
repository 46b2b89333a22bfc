"""Builds what is given to others: a wheel and an sdist, and a tag that says of which commit they are.

    python -m tools.make_dist [--no-tag]

Writes `dist/`, from what is committed, with the locked build backend and without the network. Refuses a folder with uncommitted
changes, a version that the changelog does not know, and a tag of the version that stands at another commit.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent


class UnfitError(Exception):
    """Why nothing was built, as a sentence for whoever asked."""


def version_of(root: Path) -> str:
    """The version that the sources say."""
    text = (root / "src" / "assent" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise UnfitError("src/assent/__init__.py says no version")
    return found[1]


def require_fit(root: Path, version: str) -> None:
    """Raise `UnfitError` unless the folder can be given to others under this version."""
    if _git(root, "status", "--porcelain"):
        raise UnfitError("there are uncommitted changes: commit them, or ignore what is not a source")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## {re.escape(version)}\b", changelog, re.MULTILINE):
        raise UnfitError(
            f"CHANGELOG.md has no section `## {version}`: what is new has to stand under its version"
        )
    tagged = _git(root, "tag", "--list", f"v{version}", "--format=%(objectname)")
    if tagged and _git(root, "rev-parse", f"v{version}^{{commit}}") != _git(root, "rev-parse", "HEAD"):
        raise UnfitError(f"the tag v{version} stands at another commit: raise the version")


def build(root: Path, folder: Path) -> list[Path]:
    """A wheel and an sdist of a folder's sources, made in `folder`."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
        cwd=root,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return sorted(folder.glob("assent-*"))


def tag(root: Path, version: str) -> bool:
    """Put the version's tag on the commit that is checked out; whether it was not there yet."""
    if _git(root, "tag", "--list", f"v{version}"):
        return False
    _git(root, "tag", "--annotate", f"v{version}", "--message", f"Assent {version}")
    return True


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words],  # noqa: S607 - whichever git the caller has
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Check, build, tag."""
    try:
        version = version_of(root)
        require_fit(root, version)
        made = build(root, root / "dist")
        if "--no-tag" not in arguments and tag(root, version):
            print(f"tagged v{version}: git push origin v{version}")
    except UnfitError as error:
        print(f"nothing was built: {error}", file=sys.stderr)
        return 1
    for path in made:
        print(f"{path.relative_to(root)}  {path.stat().st_size // 1024} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
