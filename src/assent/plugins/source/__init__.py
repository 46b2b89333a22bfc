"""Where plugins come from, what their files say, and whether those are the files that a person agreed to."""
