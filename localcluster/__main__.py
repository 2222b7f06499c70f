"""`python -m localcluster`; see `localcluster.cli`."""

from localcluster.cli import main

if __name__ == "__main__":
    main(prog_name="python -m localcluster")
