"""`sweep article`: every claim of the article reproduced, shown and checked.

`content` declares what a section consists of. The sections are made in `slowdown` (1, 2), `algebra`
(3, 6), `cost_comparison` (4), `matching_costs` (5), `gradient_flow` (7), `wrong_gradient` (8) and
`other_optimizers` (9), with the algebra of `derivation` (SymPy) and the drawings of
`two_starts_figures` and `many_starts_figures`; `page` formats them as text and as one HTML file,
and `build` makes all.
"""
