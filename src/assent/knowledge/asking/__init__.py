"""Questions answered: what an asker may see, ranked by words and by meaning, with why it was found."""

from assent.knowledge.asking.answer import Found, Part, Told, Why
from assent.knowledge.asking.view import Meaning, View
from assent.knowledge.asking.where import Where

__all__ = ["Found", "Meaning", "Part", "Told", "View", "Where", "Why"]
