"""Results on disk: a folder of Parquet parts, each whole or not there at all."""
