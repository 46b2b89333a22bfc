"""The files of one workspace, real or imaginary: what confines them, and what the operating system is asked for."""
