"""Training through LightningCLI: parser, checkpoints, signals and provenance."""
