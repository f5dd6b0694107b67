"""``python -m retroevidence.cli``."""

from retroevidence.cli import main

if __name__ == "__main__":
    main()
