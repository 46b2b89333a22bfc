"""What the operator wrote, read with places, and what is in force for one command."""
