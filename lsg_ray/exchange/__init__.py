"""Import of foreign weights and export of stores, results and models: one module a format."""
