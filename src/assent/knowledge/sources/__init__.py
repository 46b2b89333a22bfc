"""What of a folder is read, and why anything else is not."""

from assent.knowledge.sources._memory import MemoryFolder
from assent.knowledge.sources.ignoring import GLOBAL, Ignores
from assent.knowledge.sources.ports import (
    ROOT,
    Archives,
    Content,
    Folder,
    Seen,
    Stamp,
)
from assent.knowledge.sources.walking import (
    ENTRIES_MAX,
    MEMBERS,
    Reason,
    Skipped,
    Source,
    contents_of,
    files_of,
    parents,
    read,
    shown,
)
from assent.knowledge.sources.watching import (
    QUEUE_MAX,
    Events,
    Gone,
    Watch,
    Window,
    Windows,
    changes,
    is_within,
)

__all__ = [
    "ENTRIES_MAX",
    "GLOBAL",
    "MEMBERS",
    "QUEUE_MAX",
    "ROOT",
    "Archives",
    "Content",
    "Events",
    "Folder",
    "Gone",
    "Ignores",
    "MemoryFolder",
    "Reason",
    "Seen",
    "Skipped",
    "Source",
    "Stamp",
    "Watch",
    "Window",
    "Windows",
    "changes",
    "contents_of",
    "files_of",
    "is_within",
    "parents",
    "read",
    "shown",
]
