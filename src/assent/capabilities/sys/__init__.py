"""Capabilities that touch nothing: for demos, tests and measurements of the runtime itself."""
