"""Video, images and masks in; masks, overlays and JSON lines out."""
