"""The command line as the tests call it."""

from typer.testing import CliRunner

from detr_steps.commands import app


def accepted(*arguments) -> str:
    """What a command prints that does its work."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def refused(*arguments, code: int = 1) -> str:
    """What a command prints that ends with an error for its user: it says so, and is no crash."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert isinstance(result.exception, SystemExit), repr(result.exception)  # a crash has its own
    assert result.exit_code == code and "Traceback" not in result.output
    assert "error:" in result.output.lower() or "─ Error ─" in result.output
    return result.output
