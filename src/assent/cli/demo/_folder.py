"""The folder that the demo works in: a copy of sources of Assent's own as a project, with a policy and a workflow."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import assent
from assent.errors import InputError, WorldError

_PROJECT_FILES: Final = ("assent.toml", "policy.yaml", "release.yaml")
_SCRIPTS: Final = ("digest.sh", "edits.py", "flip.py")
_NOTES: Final = ("install.md", "upgrade.md", "known-issues.md")
_OWN_VARIABLES: Final = ("XDG_CONFIG_HOME", "XDG_STATE_HOME")


@dataclass(frozen=True, slots=True)
class Folder:
    """What was made: the folder, the environment in which its commands run, and how a shell gets there."""

    root: Path
    environ: Mapping[str, str]
    entering: tuple[str, ...]
    version: str
    next_version: str
    modules: int

    @property
    def project(self) -> Path:
        """The workspace: the copied sources, the workflow and the policy."""
        return self.root / "project"

    def bytes_used(self) -> int:
        """What its files take on the disk."""
        return sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())

    def remove(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.root)


def make_folder(keep: Path | None, environ: Mapping[str, str]) -> Folder:
    """A new folder, or `keep`, which must not exist or be empty; `DEMO_FOLDER`, `WORKSPACE_UNUSABLE`."""
    try:
        root = _new_root(keep)
        version = assent.__version__
        modules = _fill(root, version)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise WorldError(
            "WORKSPACE_UNUSABLE", f"the demo's folder can't be written: {reason}", path=error.filename
        ) from error
    major, minor, _patch = version.split(".", 2)
    inside, entering = _environment(root, environ)
    return Folder(root, inside, entering, version, f"{major}.{int(minor) + 1}.0", modules)


def _new_root(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="assent-demo-")).resolve()
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise InputError(
            "DEMO_FOLDER", f"`{keep}` is not an empty folder", path=str(keep), hint="name a new one"
        )
    keep.mkdir(parents=True, exist_ok=True)
    return keep.resolve()


def _fill(root: Path, version: str) -> int:
    """Write everything; how many modules were copied."""
    project = root / "project"
    # Enough for hundreds of effects, and few enough that nobody waits for them.
    sources = Path(assent.__file__).parent / "capabilities"
    shutil.copytree(
        sources,
        project / "src" / "capabilities",
        ignore=shutil.ignore_patterns("__pycache__"),
        copy_function=shutil.copyfile,
    )
    modules = sorted((project / "src").rglob("*.py"))
    for module in modules:
        # Each module names its version in its first line, as some projects have it, so that a release has many files to rewrite.
        module.write_text(f"# assent {version}\n{module.read_text(encoding='utf-8')}", encoding="utf-8")
    _write(project / "CHANGELOG.md", f"# Changelog\n\n## {version}\n\n- First release.\n")
    (project / "notes").mkdir()
    for name in _NOTES:
        title = name.removesuffix(".md").replace("-", " ")
        _write(project / "notes" / name, f"# Notes on {version}: {title}\n\nWritten once, read never.\n")
    (project / "mirror").mkdir()
    own = resources.files("assent.cli.demo.files")
    for folder, names in ((project, _PROJECT_FILES), (root, _SCRIPTS)):
        for name in names:
            _write(folder / name, own.joinpath(name).read_text(encoding="utf-8"))
    return len(modules)


def _write(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
    path.chmod(0o644)  # A policy that others may change is refused, whatever the umask.


def _environment(root: Path, environ: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The environment of the demo's commands, and the lines that give a shell the same one.

    Configuration and keys live in the demo's own folder, outside its workspace: the reader's own are neither read nor touched.
    """
    inside = {name: value for name, value in environ.items() if not name.startswith("ASSENT_")}
    lines = [f"cd {shlex.quote(str(root / 'project'))}"]
    dropped = sorted(set(environ) - set(inside))
    if dropped:
        lines.append(f"unset {' '.join(dropped)}")
    own = {
        name: str(root / name.removeprefix("XDG_").removesuffix("_HOME").lower()) for name in _OWN_VARIABLES
    }
    inside.update(own)
    lines.append("export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in own.items()))
    ours = Path(sys.executable).parent
    found = shutil.which("assent", path=inside.get("PATH", os.defpath))
    if found is None or Path(found).parent.resolve() != ours.resolve():
        inside["PATH"] = f"{ours}{os.pathsep}{inside.get('PATH', os.defpath)}"
        lines.append(f'export PATH={shlex.quote(str(ours))}:"$PATH"')
    return inside, tuple(lines)
