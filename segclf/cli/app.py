"""The application that the commands are registered with."""

import typer

app = typer.Typer(
    name="segclf",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Segmentation-for-classification in medical imaging. Research use, not diagnosis.",
    epilog="First: segclf demo. On your own data: segclf check MANIFEST. Every command takes "
    "--debug, which shows the traceback of an error.",
)
