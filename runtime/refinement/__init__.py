"""From superpixel probabilities to pixels: the colour filter, crops and the refiner network."""
