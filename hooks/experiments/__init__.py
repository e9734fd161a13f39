"""What runs the model on purpose, and leaves it as it was: range test, landscape, temperature, sharpness."""
