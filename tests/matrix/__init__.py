"""The same tests under other machines' conditions: `python -m tests.matrix --help`."""
