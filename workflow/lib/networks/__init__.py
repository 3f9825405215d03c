"""Networks: backbones, encoders, heads, how they are trained, kept and resumed."""
