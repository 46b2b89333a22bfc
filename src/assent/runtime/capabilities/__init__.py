"""Which capabilities and versions there are, what the record says of them, and which ones a run uses."""
