"""Agents come in: the Model Context Protocol, as a door to the one application service."""
