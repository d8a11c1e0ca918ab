"""The report: figures fit for a paper, and one page of HTML that opens anywhere, offline.

From bottom to top: `style` sets how figures look, `figures` holds them with their captions,
`results` makes the sections of a study, `page` writes the folder
(`lsg_ray.report.page.write_report`).
"""

from lsg_ray.report.backend import load_matplotlib

load_matplotlib()
