"""The kinds of events that a journal remembers."""
