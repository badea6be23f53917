"""Training engine: loop, checkpoints, distributed training and run logs."""
