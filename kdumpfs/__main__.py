"""`python -m kdumpfs`: the command kdumpfs."""

from fsmount.cli.main import main

if __name__ == "__main__":
    main()
