"""`python -m xingping` is the command `xingping`."""

from xingping.cli import main

if __name__ == "__main__":
    main()
