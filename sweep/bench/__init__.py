"""The kernel against its peers and against the machine's own limit.

`workloads` says what is trained, `rows` by whom (`peers`, one file each), `measure` takes the times
and checks the answers, `machine` finds the limit, `startup` the time until the first epoch;
`tables` and `picture` show it. `hunt` looks for a start that the orbit gets wrong;
`storing` measures what it costs to keep results.
"""
