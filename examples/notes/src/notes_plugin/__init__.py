"""Notes: texts in the workspace, one file each.

A capability belongs to the plugin when a module of it describes it with `@capability` and this module, the entry, imports it.
"""

from notes_plugin.capabilities import add, list_all

__all__ = ["add", "list_all"]


def health() -> None:
    """Nothing outside the workspace is needed, so all is well. A text would mean degraded; an exception, failed."""
