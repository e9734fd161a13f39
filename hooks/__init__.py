"""The torch side: hooks on a model and its optimizer that stream what an expert would look at."""
