"""What waits: for a turn, for a time, for an answer, for a message."""
