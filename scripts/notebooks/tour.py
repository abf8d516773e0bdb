# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From a spec to a figure
#
# A neuron that starts badly wrong should learn fast. With the quadratic cost it does not: its
# gradient has the factor σ′(z), which vanishes where the output is saturated. Two starts show it;
# a sweep over 65,536 starts shows where it begins, and what cross-entropy changes.

# %%
import numpy as np

import sweep

# The two starts of Nielsen's chapter 3: output 0.82 learns at once, 0.98 hardly for 150 epochs.
curve = sweep.trace(
    w=[0.6, 2.0], b=[0.9, 2.0], learning_rate=0.15, cost="quadratic", x=1.0, y=0.0,
    epochs=[0, 75, 150, 225, 300],
)  # fmt: skip
curve.to_pandas().pivot(index="epoch", columns="neuron", values="output").round(3)

# %%
# A sweep: every combination of the axes, each trained until its error |y − a| is at most 0.1.
spec = sweep.Spec(
    name="tour",
    axes={
        "cost": ["quadratic", "cross_entropy"],
        "learning_rate": np.geomspace(0.05, 0.8, 2),
        "w": sweep.Span(start=-6, stop=6, num=256),
        "b": sweep.Span(start=-6, stop=6, num=256),
    },
    task={"x": 1.0, "y": 0.0},
    stop={"tolerance": 0.1, "max_epochs": 20_000},
)
print(spec.toml())

# %%
# What it will take: told before anything is computed.
print(spec.estimate())

# %%
# Computed into a folder of Parquet; the same line completes a run that was interrupted.
done = sweep.run(spec, "results/tour")
result = done.open()
result

# %%
# As tables. Epochs of neurons that did not converge count as above every number.
result.summary()[["cost", "learning_rate", "starts", "converged", "q10", "median", "q90"]]

# %%
# The same start under both costs: how many times the epochs does the quadratic cost need?
ratio = result.compare_costs(edges=[0, 0.1, 0.5, 0.9, 0.99, 1], by=["learning_rate"])
ratio[["learning_rate", "error_low", "error_high", "pairs", "over_fewer", "median"]].round(2)

# %%
# Every start at once. The lines are those of equal initial error.
result.plot("heatmap", where={"learning_rate": 0.05}, width=7.5)

# %%
# A figure is Matplotlib's, and can be changed: here by a line at 100 epochs.
figure = result.plot("slowdown", title="With the quadratic cost epochs explode near the error 1")
for ax in figure.axes:
    ax.axhline(100, color="#777777", linewidth=0.8, linestyle=":")
figure

# %%
# And the learning curves of any starts, traced anew.
result.plot("curves", starts=[(0.6, 0.9), (2.0, 2.0), (4.0, 4.0)], width=7.5)
