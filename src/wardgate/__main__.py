"""`python -m wardgate`."""

from wardgate.cli.main import main

if __name__ == "__main__":
    main()
