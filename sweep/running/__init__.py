"""From a spec to a folder of results: parts computed on threads or a Dask cluster, resumable."""
