"""Results: how they are saved, opened, checked, and kept while they are computed.

Only this room knows their bytes.  `graph` runs the tasks that make them.
"""
