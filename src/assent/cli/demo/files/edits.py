"""What release VERSION would change, as data: the version in every module, and the changelog.

    python3 edits.py PROJECT VERSION

Writes edits.json and changelog.md beside itself and touches nothing of the project: whether these changes may happen is for the
policy to say, and making them happen is for Assent. A language model could stand here instead of a script.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

VERSION_LINE = re.compile(r"^(# assent )\d+\.\d+\.\d+", re.MULTILINE)


def main(project: Path, version: str) -> None:
    """Compute the new content of each file that names its version."""
    edits: list[dict[str, str]] = []
    for path in sorted((project / "src").rglob("*.py")):
        content, count = VERSION_LINE.subn(rf"\g<1>{version}", path.read_text(encoding="utf-8"))
        if count:
            edits.append({"path": path.relative_to(project).as_posix(), "content": content})
    here = Path(__file__).parent
    (here / "edits.json").write_text(json.dumps(edits), encoding="utf-8")
    old = (project / "CHANGELOG.md").read_text(encoding="utf-8")
    entry = f"# Changelog\n\n## {version}\n\n- The version in {len(edits)} modules is {version}.\n"
    (here / "changelog.md").write_text(old.replace("# Changelog\n", entry, 1), encoding="utf-8")
    sys.stdout.write(f"proposed: {len(edits)} modules in edits.json, the new changelog in changelog.md\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
