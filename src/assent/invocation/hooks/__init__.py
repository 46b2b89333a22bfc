"""What others attach to calls: hooks, and the events of a call's life."""
