"""Exported from the chapters: edit the notebooks, then `make export`."""
