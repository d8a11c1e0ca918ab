"""The web explorer: a local page over run folders, stores and results, which it only reads.

`server` answers to a token alone; `places` finds what there is; each view is one file: `ensemble`,
`plane`, `results`, `tree`, `model`, `jobs`, `compare`; what they compute is in files of its own.
What a result shows follows from the declaration of its stage, so that a new stage appears by
itself.
"""
