"""Texts without secrets and hidden characters, and where something in them was written for models."""

from assent.knowledge.cleaning.cleaning import CLEANER_VERSION, Cleaned, Removed, clean
from assent.knowledge.cleaning.marks import Mark

__all__ = ["CLEANER_VERSION", "Cleaned", "Mark", "Removed", "clean"]
