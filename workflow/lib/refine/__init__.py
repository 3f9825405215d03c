"""From evidence to a probability per pixel: decoders and other refiners, and their lessons."""
