"""What makes the record provable: the tree over it, the notes that are signed of it, and who is believed."""
