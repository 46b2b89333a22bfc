"""Hands on text: replacing and extracting by regular expressions in linear time, and templates in a sandbox."""
