"""Self-contained HTML pages: templates that the report and ``litcv browse`` share."""
