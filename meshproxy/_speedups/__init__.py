"""The data path's innermost modules, compiled with mypyc where that was done; the same sources either way."""
