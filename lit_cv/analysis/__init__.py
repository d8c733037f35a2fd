"""What a run gets right and wrong: analyses of its predictions, and the page that shows them."""
