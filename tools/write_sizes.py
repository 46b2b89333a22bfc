"""Writes how large the house is, package by package, into `docs/architecture.md`.

    python -m tools.write_sizes [--check]

`--check` writes nothing and ends with 1 when a figure has moved by more than a tenth: a page that every change had to touch would
be a quarrel of all changes, and a page that is far off would be no figure.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "architecture.md"
BEGIN: Final = "<!-- Written by `python -m tools.write_sizes`. -->\n"
END: Final = "<!-- End of what is written. -->\n"
SHARE: Final = 0.1
"""What a figure may be off before it is old."""


def lines_in(place: Path) -> int:
    """The lines of the Python files in a folder, or of one file."""
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def sizes() -> dict[str, int]:
    """Lines of Python by place, the largest package first; the last two are all of `src` and of `tests`."""
    package = ROOT / "src" / "assent"
    places = [one for one in package.iterdir() if (one / "__init__.py").is_file()]
    found = {f"`{one.name}`": lines_in(one) for one in places}
    found = dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))
    return {**found, "all of `src`": lines_in(package), "all of `tests`": lines_in(ROOT / "tests")}


def table(found: dict[str, int]) -> str:
    """The figures as the page has them."""
    rows = "".join(f"| {name} | {count:,} |\n" for name, count in found.items()).replace(",", " ")
    return f"| place | lines of Python |\n|---|--:|\n{rows}"


def written() -> dict[str, int]:
    """The figures that the page gives."""
    part = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    rows = re.findall(r"^\| (.+) \| ([\d ]+) \|$", part, re.MULTILINE)
    return {name: int(count.replace(" ", "")) for name, count in rows}


def old() -> list[str]:
    """The places whose figure is far off, or missing, or of nothing."""
    known, found = written(), sizes()
    far = [name for name, count in found.items() if abs(known.get(name, 0) - count) > SHARE * count]
    return [*far, *sorted(known.keys() - found.keys())]


def main(arguments: list[str]) -> int:
    """Write the figures, or compare them."""
    if arguments == ["--check"]:
        far = old()
        print(f"old: {', '.join(far)}; python -m tools.write_sizes" if far else "the sizes are about right.")
        return 1 if far else 0
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}{table(sizes())}{END}{rest.partition(END)[2]}", encoding="utf-8")
    print("wrote the sizes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
