"""Running on Ray: sessions, bounded task pools, progress, resume.  Nothing else imports ray."""

#: Seconds that a job may wait for its start; Ray itself waits for 900, and then leaves it there.
START_SECONDS = 300.0
