"""The thin helper of the Prompt-Tuning book: what every chapter needs and no chapter
teaches."""

__version__ = "0.1.0"
