"""`meshctl`: the command line of the mesh. Each group of commands has a file of its own."""

import click

from meshctl.lab import lab


@click.group()
@click.version_option(package_name="meshproxy")
def main() -> None:
    """Run and look into a service mesh."""


main.add_command(lab)


if __name__ == "__main__":
    main()
