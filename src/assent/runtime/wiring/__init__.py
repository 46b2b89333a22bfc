"""The parts of a runtime, put together from its settings."""
