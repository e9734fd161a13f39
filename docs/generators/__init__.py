"""What of the manual is generated: one file per kind of page, from the same data as the product itself."""
