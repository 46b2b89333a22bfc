"""Names that archives have carried to leave their target or to be taken for other names, by what each one stands for.

The facts behind them: "Zip Slip" (2018) and the traversal lists of fuzzing collections; CERT's and vendors' advisories on tar;
Microsoft's list of device names and stream suffixes; "Trojan Source" (2021) for directions of text; HFS+ and NTFS on names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ESCAPES: Final = "ARCHIVE_ESCAPES"
NAME: Final = "ARCHIVE_NAME_REFUSED"


@dataclass(frozen=True)
class Fact:
    """What these names stand for, and the code that each is refused with."""

    text: str
    code: str
    names: tuple[str, ...]


_TARGETS: Final = (
    "etc/passwd",
    "root/.ssh/authorized_keys",
    "windows/win.ini",
    "evil.sh",
    ".bashrc",
    "tmp/evil",
)
_DOTS: Final = tuple("../" * depth for depth in range(1, 9))
_DEVICES: Final = (
    *("CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"),
    *(f"COM{number}" for number in range(10)),
    *(f"LPT{number}" for number in range(10)),
    *("COM\u00b9", "COM\u00b2", "COM\u00b3", "LPT\u00b9", "LPT\u00b2", "LPT\u00b3"),
)
_CONTROLS: Final = tuple(chr(code) for code in (*range(1, 32), *range(127, 160)))
_DIRECTIONS: Final = tuple("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

FACTS: Final = (
    Fact(
        "`..` at the front climbs out", ESCAPES, tuple(dots + target for dots in _DOTS for target in _TARGETS)
    ),
    Fact(
        "`..` behind a folder climbs out, or only looks as if it stayed",
        ESCAPES,
        tuple(
            f"{folder}/{dots}{target}"
            for folder in ("a", "safe/dir", "..a")
            for dots in _DOTS[1:6:2]
            for target in _TARGETS[:4]
        ),
    ),
    Fact(
        "`..` at the end, alone, or between slashes",
        ESCAPES,
        ("..", "../", "a/..", "a/../", "a/../..", "a/../b", "../a/../b", "a/b/../../c", "a/b/../../../c"),
    ),
    Fact(
        "a path from the root of the file system",
        ESCAPES,
        tuple(f"{root}{target}" for root in ("/", "//", "///", "/../", "/./") for target in _TARGETS),
    ),
    Fact(
        "a backslash is a separator on Windows, and `..\\` climbs there",
        ESCAPES,
        tuple(
            name
            for target in ("windows\\win.ini", "evil.exe", "etc\\passwd")
            for dots in (
                "..\\",
                "..\\..\\",
                "..\\../",
                "../..\\",
                "a\\..\\..\\",
                "\\",
                "\\\\",
                "\\\\host\\share\\",
                "dir\\",
            )
            for name in (dots + target,)
        ),
    ),
    Fact(
        "UNC and device paths of Windows",
        ESCAPES,
        (
            "\\\\?\\C:\\evil",
            "\\\\.\\C:\\evil",
            "\\\\?\\UNC\\host\\share\\evil",
            "\\\\.\\PhysicalDrive0",
            "//?/C:/evil",
            "//./C:/evil",
        ),
    ),
    Fact(
        "a drive letter, absolute or relative to the drive's own folder",
        ESCAPES,
        (
            *(
                f"{drive}:{rest}"
                for drive in "CcDZ"
                for rest in ("/evil", "evil", "/", "../evil", "windows/win.ini")
            ),
            *("a/C:/evil", "a/c:evil"),
        ),
    ),
    Fact(
        "a name that Windows opens as a device, with any ending and in any case",
        NAME,
        tuple(
            name
            for device in _DEVICES
            for name in (device, device.lower(), f"{device}.txt", f"{device.lower()}.tar.gz", f"dir/{device}")
        ),
    ),
    Fact("a device behind blanks", NAME, ("nul .txt", "con  .a", "aux .b.c", "prn/x", "a/nul.x/b")),
    Fact(
        "another stream of a file on NTFS",
        NAME,
        (
            "file.txt::$DATA",
            "file.txt:hidden:$DATA",
            "evil.php::$DATA",
            "dir::$INDEX_ALLOCATION",
            "dir:$I30:$INDEX_ALLOCATION",
        ),
    ),
    Fact("a control character, which terminals obey", NAME, tuple(f"a{control}b" for control in _CONTROLS)),
    Fact(
        "an escape sequence for terminals",
        NAME,
        ("\x1b[2J", "\x1b]0;title\x07", "a\x1b[31mred", "x\rhidden", "x\by"),
    ),
    Fact("NUL, where C programs stop reading", NAME, ("safe.txt\0.exe", "\0", "a\0/../b", "../\0", "a/b\0")),
    Fact(
        "a character that turns the direction of text",
        NAME,
        tuple(f"photo{mark}gpj.exe" for mark in _DIRECTIONS),
    ),
    Fact("line and paragraph separators", NAME, ("a\u2028b", "a\u2029b")),
    Fact(
        "a trailing dot or blank, which Windows cuts off",
        NAME,
        ("a.", "a ", "a..", "a. .", "dir./x", "dir /x", "...", ".. ", ". "),
    ),
    Fact("an empty component", NAME, ("a//b", "a///b", "a/b//", "a//")),
    Fact("a component that stays where it is", NAME, ("a/./b", "a/.", "a/./", "a/b/./c")),
    Fact(
        "a name that no file system can hold",
        NAME,
        ("n" * 256, "d/" + "n" * 300, "\u00fc" * 128, "\U0001f600" * 64 + "x" * 4),
    ),
)
"""Refused by whatever brings them."""

COLLIDING: Final = (
    ("the same name twice", ("a.txt", "a.txt")),
    ("the same name twice, in a folder", ("d/a.txt", "d/a.txt")),
    ("names that differ in case", ("README", "readme")),
    ("folders that differ in case", ("Docs/a", "docs/b")),
    ("composed and decomposed letters", ("caf\u00e9", "cafe\u0301")),
    ("Hangul, composed and not", ("\uac00", "\u1100\u1161")),
    ("a compatibility form: ligature", ("\ufb01le", "file")),
    ("a compatibility form: full width", ("\uff41.txt", "a.txt")),
    ("a sharp s and its capitals", ("stra\u00dfe", "STRASSE")),
    ("a dotless i and its capital, folded", ("\u0130", "i\u0307")),
    ("the Kelvin sign and k", ("\u212a", "k")),
    ("the long s", ("\u017f.txt", "s.txt")),
    ("Greek final sigma", ("\u03c3", "\u03c2")),
    ("an invisible character, which HFS+ drops", (".g\u200cit/config", ".git/config")),
    ("a soft hyphen, invisible too", ("a\u00adb", "ab")),
    ("a file where another entry needs a folder", ("a", "a/b")),
    ("a folder where another entry needs a file", ("a/b", "a")),
    ("a file where a folder of another case is needed", ("A", "a/b")),
    ("a file within a file, deeper", ("x/y/z", "x/y/z/w")),
    ("superscript digits", ("a\u00b2", "a2")),
    ("Roman numeral signs", ("\u2163", "IV")),
)
"""What makes two names one, and the two, in the order of their entries."""

PROTECTED: Final = (
    ".assent/ledger.db",
    "x/.assent/y",
    "assent.toml",
    "x/assent.toml",
    ".ASSENT/x",
    ".as\u200csent/x",
    "Assent.TOML",
    ".git",
    "x/.git/config",
    ".GIT/Hooks/post-checkout",
    ".g\u200cit/config",
    "x/.git/modules/m/config",
)
"""The control files' names and what git starts programs by, at any depth and in every disguise."""

HARMLESS: Final = (
    "a",
    "a.b.c",
    ".hidden",
    "..a",
    "a..b",
    "...a",
    "d/e/f",
    "man/Foo::Bar.3pm",
    "12:30.log",
    "caf\u00e9",
    "\u65e5\u672c\u8a9e.txt",
    "\U0001f468\u200d\U0001f4bb.png",
    "console.log",
    "nullable.py",
    "com10.txt",
    "auxiliary",
    "a b",
    "-rf",
    "~root",
    "$HOME",
    "%2e%2e%2fetc",
    "..%2f..%2fetc",
    "a'b\"c",
    "n" * 255,
)
"""Names that are only unusual: URL escapes, for one, mean nothing to a file system."""
