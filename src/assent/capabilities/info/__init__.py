"""Hands that only look at the machine: its system, its clock, and the environment variables that may be told."""

from assent.capabilities.info._machine import Machine

__all__ = ["Machine"]
