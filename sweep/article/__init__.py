"""`sweep article`: every claim of the article reproduced, shown and checked.

`content` says what a section is made of. Its sections are made in `slowdown` (1, 2), `algebra`
(3, 6), `repair` (4), `recipe` (5), `theory` (7) and `correction` (8), with the drawings of
`figures` and `many_starts`; `page` sets them as text and as one HTML file, and
`whole` puts all together.
"""
