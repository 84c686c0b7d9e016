"""Exported from the chapters: edit those, then run `make export`."""
