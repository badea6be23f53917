"""The training loop: checkpoints, processes, logs."""
