"""What a word was probably meant to be: spelled alike, or another word for the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# What people call it elsewhere, and what it is called here: capabilities by the last part of their id, commands, keys.
_SAME: Final = {
    ours: frozenset(theirs.split())
    for ours, theirs in {
        "move": "rename mv",
        "copy": "cp duplicate clone",
        "delete": "remove rm del unlink rmdir erase destroy",
        "make_dir": "mkdir create_dir create_folder create_directory",
        "list_dir": "ls dir list listdir scandir",
        "read_file": "cat read open load head get_file",
        "write_file": "write save create touch put append store update",
        "search": "grep rg",
        "find": "glob locate",
        "hash_file": "sha256 sha256sum checksum md5",
        "get": "fetch download curl wget",
        "post": "send submit",
        "run": "exec execute shell bash command start launch do",
        "run_captured": "exec execute shell bash",
        "pack": "zip tar compress archive",
        "unpack": "unzip untar extract decompress",
        "parse": "load read decode loads",
        "render": "dump write encode dumps stringify",
        "sleep": "wait pause delay",
        "webhook": "notify send",
        "undo": "revert rollback unapply restore",
        "cancel": "stop abort kill",
        "resume": "continue recover",
        "reject": "deny refuse decline",
        "approve": "accept allow confirm grant",
        "runs": "list ls ps history status",
        "show": "status describe inspect view get",
        "plan": "dry-run dryrun preview validate diff",
        "doctor": "check health diagnose",
        "audit": "log logs ledger",
        "call": "invoke",
    }.items()
}
_OF_FILES: Final = ("_file", "_folder", "_directory", "_dir")


def suggest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` was probably meant to be, or None; their order does not matter."""
    import difflib  # only a mistake pays for it

    known = sorted(set(candidates))
    room, dot, last = word[:128].rpartition(".")
    plain = next((last.removesuffix(end) for end in _OF_FILES if last.endswith(end)), last)
    for ours, theirs in _SAME.items():
        if (last in theirs or plain in theirs) and f"{room}{dot}{ours}" in known:
            return f"{room}{dot}{ours}"
    close = difflib.get_close_matches(word[:128], known, n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(word: str, candidates: Iterable[str], *, otherwise: str | None = None) -> str | None:
    """`did you mean …?` as a hint, or `otherwise` when nothing is close."""
    close = suggest(word, candidates)
    return f"did you mean `{close}`?" if close else otherwise
