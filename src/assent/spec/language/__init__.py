"""Expressions and references: parsed, checked and evaluated."""
