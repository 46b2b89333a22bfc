"""What differs between versions of a capability, and how a call of one is answered by another."""
