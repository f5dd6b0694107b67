"""The differential check is run by `make differential`, not by pytest."""

collect_ignore_glob = ["*.py"]
