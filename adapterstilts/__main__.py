"""Makes `python -m adapterstilts` the command line."""

from adapterstilts.cli.app import main

main()
