"""Running on Ray: sessions, pools of actors, progress, resume.  Nothing else imports ray."""

import logging

#: Seconds that a job may wait for its start; Ray itself waits for 900, and then leaves it there.
START_SECONDS = 300.0

# When it is imported in a notebook, Ray asks for ipywidgets, which nothing here uses.
logging.getLogger("ray.widgets").setLevel(logging.ERROR)
