"""The device: processor features, GPU, temperature and power sensors."""
