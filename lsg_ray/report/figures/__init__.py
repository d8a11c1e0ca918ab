"""The figures of the report, one a file: data in, `matplotlib.figure.Figure` out."""
