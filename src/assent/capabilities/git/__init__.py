"""Hands on git repositories: `sys.git.*`. Libgit2 reads and builds; every change goes through the workspace's files."""

from assent.capabilities.git._home import GitHome

__all__ = ["GitHome"]
