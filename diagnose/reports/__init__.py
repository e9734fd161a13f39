"""The same Diagnosis as text, Markdown, HTML and JSON."""
