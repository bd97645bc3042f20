"""The commands of `python -m training`, a file for those that belong together."""
