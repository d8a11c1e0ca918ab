"""Running on Ray: sessions, bounded task pools, progress, resume.  The only room that imports ray."""
