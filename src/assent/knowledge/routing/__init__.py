"""Which of many repositories are asked, and over which way."""

from assent.knowledge.routing.choosing import NotAsked, Repository, Route, Routes, routes
from assent.knowledge.routing.table import Link, Node, Table, Way

__all__ = ["Link", "Node", "NotAsked", "Repository", "Route", "Routes", "Table", "Way", "routes"]
