"""What people type: the command line, one file per command."""
