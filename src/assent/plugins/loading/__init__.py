"""From checked files to capabilities that can be called, in this process."""
