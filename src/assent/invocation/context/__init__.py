"""What one call is given, and what it leaves behind: its context, files, requests, state and snapshot."""
