"""`assent knowledge` and what belongs to it: what the workspace holds, indexed and asked."""
