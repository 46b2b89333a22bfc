"""Workflows: their documents, steps, inputs and names."""
