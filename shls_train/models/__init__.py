"""Network architectures, and the folding and digests that export needs."""
