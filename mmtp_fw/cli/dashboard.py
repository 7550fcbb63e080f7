"""`mmtp dashboard`: pages of the database in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from mmtp_fw.cli.options import LaunchpadOption, open_database

HOST = "127.0.0.1"


def dashboard(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it listens, on this machine only.")] = 5050,
    launchpad: LaunchpadOption = None,
) -> None:
    """Serve read-only pages of campaigns, labels, potentials, MD runs, workers and costs, until Ctrl-C."""
    from werkzeug.serving import make_server

    from mmtp_fw.errors import InputError
    from mmtp_fw.report.dashboard import application

    with open_database(launchpad) as database:
        try:
            server = make_server(HOST, port, application(database), threaded=True)
        except (OSError, SystemExit) as error:
            raise InputError(f"port {port} of this machine can't be listened on", "--port with another one") from error
        print(f"http://{HOST}:{port}/ (Ctrl-C ends it)", flush=True)
        server.serve_forever()
