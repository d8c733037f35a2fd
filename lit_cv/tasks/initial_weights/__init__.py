"""Training that starts from the weights of a whole network."""
