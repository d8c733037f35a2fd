"""Visual Genome: regions with phrases."""
