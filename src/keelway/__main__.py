"""`python -m keelway` is the command `keelway`."""

from keelway.surfaces.cli import main

main(prog_name="keelway")
