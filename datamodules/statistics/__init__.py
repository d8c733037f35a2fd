"""Statistics of a data set as numbers, for the page of ``litcv stats``."""
