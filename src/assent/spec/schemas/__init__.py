"""JSON Schemas: derived from types, and those that somebody else wrote."""
