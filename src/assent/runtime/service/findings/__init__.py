"""What is answered about findings, about resources by reference, and about the scanners that make and use both."""
