"""Capabilities that touch nothing: for demos, tests and measurements of the runtime itself."""

from assent.capabilities.sys._capabilities import system_capabilities

__all__ = ["system_capabilities"]
