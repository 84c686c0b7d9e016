"""How the minis were made: corpora, tokenizer, objectives, training, evaluation (needs
the mirror, see README)."""
