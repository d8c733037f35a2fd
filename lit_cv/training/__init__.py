"""Training through LightningCLI: parser, checkpoints, preemption and provenance."""
