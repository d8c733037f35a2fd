"""The stages of R-CNN that follow the training of its network."""
