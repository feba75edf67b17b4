"""Chapter 6 of "Deep Learning from Scratch" (Koki Saitoh, 2016): its experiments as studies.

Each is a definition file and a module of the same name: what a trial does (unless it is plain
training, `studies.mlp:train`), the figure in the book's layout, and the finding, which says whether
the book's sentence holds for what was measured. Where the book looks at test images while it
experiments, the comparisons look at images held out from the training file.
"""
