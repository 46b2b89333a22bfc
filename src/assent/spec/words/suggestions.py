"""What a word was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable


def suggest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` was probably meant to be, or None; their order does not matter."""
    import difflib  # only a mistake pays for it

    close = difflib.get_close_matches(word[:128], sorted(set(candidates)), n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(word: str, candidates: Iterable[str], *, otherwise: str | None = None) -> str | None:
    """`did you mean …?` as a hint, or `otherwise` when nothing is close."""
    close = suggest(word, candidates)
    return f"did you mean `{close}`?" if close else otherwise
