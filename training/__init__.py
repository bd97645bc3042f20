"""Training: reads data, fits and judges a model, and registers it as one version of one run."""
