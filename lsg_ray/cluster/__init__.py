"""Running on Ray: sessions, bounded task pools, progress, resume.  Nothing else imports ray."""
