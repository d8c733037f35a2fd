"""Parse the arguments of an experiment, with one clear sentence for every mistake."""
