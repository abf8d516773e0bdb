"""Pictures and answers from a folder of results.

`stream` reads it batch by batch, `columns` says what the rows mean, `counts` makes quantiles;
`analysis` and `starts` reduce a result to small tables, and `findings` says it in words. `figures`
draws the tables, on what `cells` and `scales` share; `plots` lists the figures and writes them.
`article` is `sweep article`.

`import sweep` does not import this floor: seaborn and matplotlib load when a picture is wanted.
"""
