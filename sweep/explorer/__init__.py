"""The explorer: a page on which the heatmap is computed while one pans, zooms and moves sliders.

`question` checks what the page asks; `answers` computes it with the engine; `server` is HTTP around
that, on this machine alone; `page` holds the page: one ES module, its style and its HTML.
"""
