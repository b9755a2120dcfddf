"""Programs to read and to run; see the README.md of each."""
