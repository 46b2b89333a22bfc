"""The daemon and its doors for programs: who calls, over what, and what is answered."""
