"""Networks as files for other programs: from the pixels of an image to its predictions."""
