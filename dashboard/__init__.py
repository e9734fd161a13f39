"""The Dash side: a live page of all runs below a folder, and one page per run."""
