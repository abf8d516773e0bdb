"""The kernel against its peers and against the machine's own limit.

`workloads` declares what is trained, `rows` by which peers (`peers`, one file each), `measure`
takes the times and checks the results, `machine` measures the CPU's limit, `startup` the time until
the first epoch; `tables` and `picture` show the result. `studies` holds longer measurements.
"""
