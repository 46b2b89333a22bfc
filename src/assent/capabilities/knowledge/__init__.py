"""Hands on what the library `assent.knowledge` asks of the world: folders, their events, archives."""

from assent.capabilities.knowledge._archives import ArchiveMembers, Quota
from assent.capabilities.knowledge._events import FolderEvents
from assent.capabilities.knowledge._folder import ConfinedFolder, ignores_of
