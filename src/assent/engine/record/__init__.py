"""What a run is: its record, folded from its events, what it is going to do, and what is told of it."""
