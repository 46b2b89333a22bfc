"""What users write, read with the place of every key and value, and what is wrong with it in plain words."""
