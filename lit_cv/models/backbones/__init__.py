"""Classification networks as backbones."""
