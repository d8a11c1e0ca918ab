"""Results: how they are saved, opened, checked and cached.

Only this package knows their bytes.  `graph` runs the tasks that make them.
"""
