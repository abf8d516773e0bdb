"""Pictures and answers from a folder of results.

`stream` reads it row group by row group, `places` says where rows lie and which axes get panels,
`counts` makes quantiles; `analysis` and `starts` reduce a result to small tables, `findings` and
`contents` say it in words. Figures are functions of these tables, on what `cells` and `scales`
share: `planes` (heatmap, ratio), `bins` (error), `lines` (slowdown, distribution), `curves` and
`theory`; `plots` lists them and writes them. `article` is
`sweep article`.

`import sweep` does not import this floor: seaborn and matplotlib load when a picture is wanted.
"""
