"""Hands on data: JSON, YAML, TOML and CSV, read strictly, written, queried, merged, patched and validated."""
