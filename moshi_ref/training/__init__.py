"""How the models are trained: one loop, and one file for each stage."""
