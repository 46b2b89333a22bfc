"""One step, from what asks for it to its effect and back; and what a plan says of it."""
