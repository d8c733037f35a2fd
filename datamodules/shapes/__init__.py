"""Generated scenes of shapes and stick figures, in any layout."""
