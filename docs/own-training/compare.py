from matplotlib.figure import Figure

import hpo


def finding(trials, curves):
    scores = trials.pivot(index="seed", columns="params_width", values="value")
    gain = scores[64] - scores[4]
    return hpo.Finding(
        claim="64 hidden units are better than 4",
        measured=f"gain {gain.mean():+.3f}, from {gain.min():+.3f} to {gain.max():+.3f}",
        holds=bool((gain > 0).all()),
    )


def figure(trials, curves):
    steps = curves.merge(trials[["stage", "trial", "params_width"]])
    drawn = Figure()
    axes = drawn.subplots()
    for width, of_width in steps.groupby("params_width"):
        axes.plot(of_width.groupby("step")["val_accuracy"].mean(), label=f"{width} units")
    axes.set(xlabel="epoch", ylabel="validation accuracy")
    axes.legend()
    return drawn
