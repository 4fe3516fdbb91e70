"""The generator of the phrasebook's training data: lexicon, grammar, corruptions, noise."""
