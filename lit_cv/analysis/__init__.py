"""The rights and wrongs of a run: analyses of its predictions, and the page that shows them."""
