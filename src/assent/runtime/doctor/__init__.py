"""What `assent doctor` looks at by itself: the machine, files, walls and grants that a workspace stands on."""
