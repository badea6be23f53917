"""From a frame to superfeatures: preprocessing, network, superpixels, optical flow, pooling."""
