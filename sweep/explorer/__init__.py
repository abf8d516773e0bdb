"""The explorer: a page on which the heatmap is computed while one pans, zooms and moves sliders.

`query` checks what the page requests; `endpoints` computes it with the engine; `server` is HTTP
around that, on this machine alone; `widget` is for Jupyter; `page` holds one ES module, its style
and its HTML.
"""
