"""`meshctl diagnose`."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from control_plane.client import ApiClient
from lab.paths import LABS
from meshctl.connection import call, find_kubeconfig, find_lab, kubeconfig_option, lab_option
from meshctl.diagnose.collector import Ambiguous, Collector
from meshctl.diagnose.eyes import eyes_for
from meshctl.diagnose.facts import Facts
from meshctl.diagnose.question import BadQuestion, parse_question
from meshctl.diagnose.report import document, text_lines
from meshctl.diagnose.walk import cause, walk


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("question", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("-n", "--namespace", default="", help="Of the client; default: wherever there is one.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@lab_option
@kubeconfig_option
def diagnose(
    question: Sequence[str], namespace: str, output: str, lab: str | None, kubeconfig: Path | None
) -> None:
    """Say why one workload does not reach another: which layer fails first, and how to mend it.

    \b
    meshctl diagnose 'web -> catalog:8080'
    meshctl diagnose web catalog:8080

    The client is a Pod or a Deployment, `web` or `shop/web`; the other a Service, as the client calls it.
    Exit code 0: no fault found, 1: one was found.
    """
    try:
        asked = parse_question(question)
    except BadQuestion as error:
        raise click.UsageError(str(error)) from error
    path = find_lab(lab).kubeconfig if lab is not None else find_kubeconfig(kubeconfig)

    async def work(client: ApiClient) -> tuple[Facts, list[str]]:
        collector = Collector(client, eyes_for(path, LABS), asked, namespace)
        return await collector.collect(), collector.unread

    try:
        facts, unread = call(path, work)
    except Ambiguous as error:
        raise click.ClickException(str(error)) from error
    findings = walk(facts)
    if output == "json":
        click.echo(json.dumps({**document(asked, findings), "unread": unread}, indent=2))
    else:
        for line in (*text_lines(asked, findings), *(f"  could not be read: {one}" for one in unread)):
            click.echo(line)
    if cause(findings) is not None:
        raise SystemExit(1)
