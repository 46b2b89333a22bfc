"""From an author's functions to a spec and a handler."""
