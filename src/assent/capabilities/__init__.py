"""The hands: handlers that act on the world, with the specs that say what they may do."""

from assent.capabilities._builtin import builtin_capabilities

__all__ = ["builtin_capabilities"]
