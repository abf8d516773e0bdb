"""A result of any size reduced to small tables, row group by row group, and put into words."""
