"""The book's network under `hpo`: data sets, the objective over `core`, built-in definitions."""
